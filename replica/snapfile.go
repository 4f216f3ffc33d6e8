package replica

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"trivet/uc"
)

// A snapshot file: magic, then chunks of (length 4 bytes, CRC-32C 4 bytes, data).
// The first chunk is the header, the rest is what the machine wrote, an empty
// chunk ends it: a file that was cut off or changed is recognised by reading it.
const (
	snapMagic  = "TRVSNAP1"
	snapSuffix = ".snap"
	chunkBytes = 256 << 10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("the snapshot is damaged or incomplete")
)

// snapHeader is the host's part of a snapshot: where in the log it stands, who
// votes, which commands were carried out, how far the feeds have come.
type snapHeader struct {
	group     uc.GroupID
	index     uint64
	term      uint64
	conf      *raftpb.ConfState
	positions map[string]uint64
	sessions  *sessions
}

func (h *snapHeader) meta() *raftpb.SnapshotMetadata {
	return &raftpb.SnapshotMetadata{
		Index: new(h.index), Term: new(h.term), ConfState: h.conf,
	}
}

func (h *snapHeader) encode() []byte {
	conf := confNumbers(h.conf)
	b := numbers(uint64(h.group), h.index, h.term, uint64(len(conf)))
	b = append(b, numbers(conf...)...)
	b = binary.AppendUvarint(b, uint64(len(h.positions)))
	for _, name := range slices.Sorted(maps.Keys(h.positions)) {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		b = binary.AppendUvarint(b, h.positions[name])
	}
	return h.sessions.encode(b)
}

func decodeSnapHeader(b []byte) (*snapHeader, error) {
	r := reader{b: b}
	h := &snapHeader{group: uc.GroupID(r.uvarint()), index: r.uvarint(), term: r.uvarint(), positions: map[string]uint64{}}
	var conf []uint64
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		conf = append(conf, r.uvarint())
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		name := string(r.bytes())
		h.positions[name] = r.uvarint()
	}
	h.sessions = decodeSessions(&r)
	var err error
	if h.conf, err = confOf(conf); r.err != nil || err != nil || len(h.conf.GetVoters()) == 0 {
		return nil, errDamaged
	}
	return h, nil
}

// chunkWriter cuts a stream into chunks.
type chunkWriter struct{ w io.Writer }

func (c chunkWriter) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		part := p[:min(len(p), chunkBytes)]
		if err := c.chunk(part); err != nil {
			return n, err
		}
		n += len(part)
		p = p[len(part):]
	}
	return n, nil
}

func (c chunkWriter) chunk(p []byte) error {
	var h [8]byte
	binary.BigEndian.PutUint32(h[:4], uint32(len(p)))
	binary.BigEndian.PutUint32(h[4:], crc32.Checksum(p, castagnoli))
	if _, err := c.w.Write(h[:]); err != nil {
		return err
	}
	_, err := c.w.Write(p)
	return err
}

// writeSnapshot writes a whole snapshot to w; head is an encoded snapHeader.
func writeSnapshot(w io.Writer, head []byte, state func(io.Writer) error) error {
	if _, err := io.WriteString(w, snapMagic); err != nil {
		return err
	}
	c := chunkWriter{w}
	if err := c.chunk(head); err != nil {
		return err
	}
	bw := bufio.NewWriterSize(c, chunkBytes)
	if err := state(bw); err != nil {
		return err
	}
	if err := bw.Flush(); err != nil {
		return err
	}
	return c.chunk(nil)
}

// chunkReader gives the stream back, each chunk only after its sum was right.
type chunkReader struct {
	r     io.Reader
	chunk []byte
	rest  []byte
	ended bool
}

func (c *chunkReader) next() ([]byte, error) {
	var h [8]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return nil, errDamaged
	}
	n := binary.BigEndian.Uint32(h[:4])
	if n > 4<<20 { // the header is the one chunk above chunkBytes
		return nil, errDamaged
	}
	if uint32(cap(c.chunk)) < n {
		c.chunk = make([]byte, n)
	}
	c.chunk = c.chunk[:n]
	if _, err := io.ReadFull(c.r, c.chunk); err != nil {
		return nil, errDamaged
	}
	if crc32.Checksum(c.chunk, castagnoli) != binary.BigEndian.Uint32(h[4:]) {
		return nil, errDamaged
	}
	return c.chunk, nil
}

func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.ended {
			return 0, io.EOF
		}
		var err error
		if c.rest, err = c.next(); err != nil {
			return 0, err
		}
		c.ended = len(c.rest) == 0
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// openSnapshot reads the header and gives the machine's part as a stream.
func openSnapshot(r io.Reader) (*snapHeader, io.Reader, error) {
	magic := make([]byte, len(snapMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != snapMagic {
		return nil, nil, errDamaged
	}
	c := &chunkReader{r: r}
	b, err := c.next()
	if err != nil {
		return nil, nil, err
	}
	h, err := decodeSnapHeader(b)
	return h, c, err
}

// checkSnapshot reads all of a snapshot and reports what is wrong with it.
func checkSnapshot(r io.Reader) (*snapHeader, error) {
	h, body, err := openSnapshot(r)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, body)
	return h, err
}

// snapDir is the folder with a group's snapshots, each named by its index.
type snapDir struct {
	fs    vfs.FS
	path  string
	group uc.GroupID
}

func openSnapDir(fs vfs.FS, root string, g uc.GroupID) (snapDir, error) {
	d := snapDir{fs, fs.PathJoin(root, groupFolder(g)), g}
	if err := makeDir(fs, d.path); err != nil {
		return d, err
	}
	return d, d.dropReceived()
}

func groupFolder(g uc.GroupID) string { return strconv.FormatUint(uint64(g), 10) }

func syncDir(fs vfs.FS, path string) error {
	f, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

func (d snapDir) file(index uint64) string {
	return d.fs.PathJoin(d.path, fmt.Sprintf("%020d%s", index, snapSuffix))
}

// list gives the indexes of the snapshots, newest first, and removes what an
// interrupted write has left.
func (d snapDir) list() ([]uint64, error) {
	names, err := d.fs.List(d.path)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".tmp") {
			if err := d.fs.Remove(d.fs.PathJoin(d.path, n)); err != nil {
				return nil, err
			}
		}
	}
	return d.indexes()
}

// indexes are those of the snapshots, newest first.
func (d snapDir) indexes() ([]uint64, error) {
	names, err := d.fs.List(d.path)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, n := range names {
		if base, ok := strings.CutSuffix(n, snapSuffix); ok {
			if i, err := strconv.ParseUint(base, 10, 64); err == nil {
				out = append(out, i)
			}
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

// create writes a snapshot so that it is either there whole or not at all.
func (d snapDir) create(index uint64, write func(io.Writer) error) error {
	tmp := d.file(index) + ".tmp"
	f, err := d.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	bw := bufio.NewWriterSize(f, chunkBytes)
	if err = write(bw); err == nil {
		err = bw.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, d.fs.Remove(tmp))
	}
	if err := d.fs.Rename(tmp, d.file(index)); err != nil {
		return err
	}
	return syncDir(d.fs, d.path)
}

// check reads the whole file and reports whether it can be used.
func (d snapDir) check(index uint64) (*snapHeader, error) {
	f, err := d.fs.Open(d.file(index), vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := checkSnapshot(bufio.NewReaderSize(f, chunkBytes))
	if err == nil && (h.group != d.group || h.index != index) {
		err = errDamaged
	}
	return h, err
}

// open checks the whole file and gives it for reading.
func (d snapDir) open(index uint64) (io.ReadCloser, error) {
	if _, err := d.check(index); err != nil {
		return nil, err
	}
	return d.fs.Open(d.file(index), vfs.SequentialReadsOption)
}

// restore gives the machine the state of a snapshot.
func (d snapDir) restore(index uint64, m Machine) (*snapHeader, error) {
	f, err := d.fs.Open(d.file(index), vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, body, err := openSnapshot(bufio.NewReaderSize(f, chunkBytes))
	if err != nil {
		return nil, err
	}
	return h, m.Restore(body)
}

// setAside takes a damaged file out of the way without destroying it.
func (d snapDir) setAside(index uint64) error {
	return d.fs.Rename(d.file(index), d.file(index)+".damaged")
}

func (d snapDir) remove(index uint64) error { return d.fs.Remove(d.file(index)) }
