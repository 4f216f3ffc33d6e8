package replica

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/uc"
)

// Config is what a Host is opened with. Dir is required; everything else has a
// default that suits a Standard Edition server with eight groups.
type Config struct {
	Dir    string // data folder, owned by one process at a time
	NodeID uint64 // this server's number among the voters; 1 by default
	Log    *slog.Logger
	Clock  clock.Clock
	FS     vfs.FS // the file system below Dir; the machine's own by default
	// Database holds the logs; nil: one on FS, in the folder "log" below Dir.
	Database Database

	Servers   func(node uint64) uc.ServerFQDN // names of the servers, for fault.NotPrimary; nil: they have none
	Transport Transport                       // nil: groups are held by this server alone
	Witness   uint64                          // number of the voter without data, 0 for none
	// WitnessStore is the memory of the witness, which this server steps for itself;
	// nil: it is never reached from here.
	WitnessStore WitnessStore

	TickInterval  time.Duration // unit of raft time, 100 ms by default
	ElectionTicks int           // ticks without a leader before an election, 10 by default

	SnapshotEntries  uint64        // entries applied since the last snapshot that make one due, 10,000 by default
	SnapshotBytes    uint64        // the same in bytes of commands, 8 MiB by default
	FeedBacklog      uint64        // entries a feed may be behind before it gets Lost, 65,536 by default
	FeedBacklogBytes uint64        // bytes of commands whose events wait for the slowest feed, 16 MiB by default
	CacheBytes       uint64        // newest log entries kept in memory per group, 512 KiB by default
	MaxCommandBytes  int           // longest command, 1 MiB by default
	MaxPending       int           // proposals of one group that may wait at a time, 1,024 by default
	MaxUncommitted   uint64        // bytes of entries of one group not yet on a majority, 4 MiB by default
	MaxReceivedBytes int64         // messages of other servers waiting to be stepped, 64 MiB by default
	ReserveBytes     int64         // size of the file that is given up when the disk is full, 32 MiB by default; below 0 none
	MinFreeBytes     uint64        // free space below which proposals are refused, 64 MiB by default
	SpaceInterval    time.Duration // how often free space is looked at, 1 s by default
	OpenLimit        time.Duration // how long the log may take to be opened: a disk that goes on failing holds it up for ever; 2 min by default
	NoSync           bool          // tests only: do not flush; a crash of the machine then loses acknowledged writes
}

func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c Config) withDefaults() (Config, error) {
	const op = "replica.Open"
	or(&c.NodeID, 1)
	or(&c.Log, slog.New(slog.DiscardHandler))
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	or(&c.TickInterval, 100*time.Millisecond)
	or(&c.ElectionTicks, 10)
	or(&c.SnapshotEntries, 10_000)
	or(&c.SnapshotBytes, 8<<20)
	or(&c.FeedBacklog, 65_536)
	or(&c.FeedBacklogBytes, 16<<20)
	or(&c.CacheBytes, 512<<10)
	or(&c.MaxCommandBytes, 1<<20)
	or(&c.MaxPending, 1024)
	or(&c.MaxUncommitted, 4<<20)
	or(&c.MaxReceivedBytes, 64<<20)
	or(&c.ReserveBytes, 32<<20)
	or(&c.MinFreeBytes, 64<<20)
	or(&c.SpaceInterval, time.Second)
	or(&c.OpenLimit, 2*time.Minute)
	if c.Servers == nil {
		c.Servers = func(uint64) uc.ServerFQDN { return "" }
	}
	switch {
	case c.Dir == "":
		return c, fault.New(fault.Invalid, op, "Dir is empty; name the data folder")
	case c.ElectionTicks < 2:
		return c, fault.New(fault.Invalid, op, "ElectionTicks must be 2 or more")
	case c.MaxPending > window:
		return c, fault.Newf(fault.Invalid, op, "MaxPending may be %d at most", window)
	}
	return c, nil
}
