package load

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Sample is a second of a run: what the generator and, on the same machine, the
// server use.
type Sample struct {
	Second      float64 // since the beginning
	SignedIn    int64
	Ready       int64 // endpoints that were wholly signed in so far, each time counted
	Requests    int64 // sent so far
	Notified    int64 // notifications received so far
	OwnCPU      float64
	OwnRSS      int64
	ServerCPU   float64 `json:",omitempty"` // seconds of processor time since its start
	ServerRSS   int64   `json:",omitempty"` // bytes
	Goroutines  int     `json:",omitempty"`
	Heap        int64   `json:",omitempty"` // bytes in use after the last collection and since
	Descriptors int     `json:",omitempty"`
	Disk        int64   `json:",omitempty"` // bytes in the data folder
}

// observer samples while a run goes on.
type observer struct {
	run     *Run
	server  *process // nil for none
	samples []Sample
	cancel  context.CancelFunc
	done    chan struct{}
}

// watch begins sampling, and printing progress, each second.
func (r *Run) watch(ctx context.Context) *observer {
	ctx, cancel := context.WithCancel(ctx)
	o := &observer{run: r, cancel: cancel, done: make(chan struct{})}
	if r.cfg.Data != "" {
		o.server = findServer(r.cfg.Data)
	}
	go o.work(ctx)
	return o
}

func (o *observer) stop() []Sample {
	o.cancel()
	<-o.done
	return o.samples
}

// slowly is after how many seconds the costly values are read again.
const slowly = 5

func (o *observer) work(ctx context.Context) {
	defer close(o.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		s := o.sample(n)
		if n > 0 && o.run.cfg.Progress != nil {
			o.print(s)
		}
		o.samples = append(o.samples, s)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (o *observer) sample(n int) Sample {
	r := o.run
	s := Sample{Second: r.now().Seconds(), SignedIn: r.count.signedIn.Load(), Ready: r.tally[Ready].answered.Load(), Requests: r.count.requests.Load(), Notified: r.count.notified.Load()}
	s.OwnCPU = ownCPU()
	s.OwnRSS = rss("self")
	if o.server != nil {
		s.ServerCPU, s.ServerRSS = o.server.cpu(), rss(o.server.pid)
		if n%slowly == 0 {
			s.Goroutines, s.Heap = o.server.runtime()
			s.Descriptors, s.Disk = o.server.descriptors(), diskUse(o.server.data)
		}
	}
	return s
}

// ownCPU is the processor time of this process in seconds.
func ownCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// inUse is the memory of this process that is in use: heap and stacks, after a
// collection.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// process is a server on this machine.
type process struct {
	pid, data string
	client    *http.Client
}

// findServer finds the process that listens on the management socket of a data
// folder, nil if there is none.
func findServer(data string) *process {
	path := filepath.Join(data, "admin.sock")
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil
	}
	var cred *syscall.Ucred
	if raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}) != nil || err != nil {
		return nil
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	return &process{pid: strconv.Itoa(int(cred.Pid)), data: data, client: &http.Client{Transport: tr, Timeout: 5 * time.Second}}
}

// cpu is the processor time in seconds.
func (p *process) cpu() float64 {
	b, err := os.ReadFile("/proc/" + p.pid + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// rss is the resident memory of a process in bytes.
func rss(pid string) int64 {
	b, err := os.ReadFile("/proc/" + pid + "/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func (p *process) descriptors() int {
	list, _ := os.ReadDir("/proc/" + p.pid + "/fd")
	return len(list)
}

// runtime asks the server's metrics for goroutines and heap.
func (p *process) runtime() (goroutines int, heap int64) {
	res, err := p.client.Get("http://local/metrics")
	if err != nil {
		return 0, 0
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "go_goroutines":
			goroutines = int(v)
		case "go_memstats_heap_inuse_bytes":
			heap = int64(v)
		}
	}
	return goroutines, heap
}

func diskUse(dir string) (total int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

// print writes the progress line.
func (o *observer) print(s Sample) {
	r := o.run
	last := o.samples[len(o.samples)-1]
	length := max(s.Second-last.Second, 0.001)
	recent := r.recent.Swap(new(Histogram))
	failed := int64(0)
	late := int64(0)
	for a := range r.tally {
		failed += r.tally[a].failed()
		late += r.tally[a].late.Load()
	}
	line := fmt.Sprintf("%s  signed in %d of %d  %.0f requests/s  %.0f notifications/s  p99 %v  failed %d  late %d  dropped %d  own CPU %.0f %%",
		clockTime(s.Second), s.SignedIn, len(r.endpoints), float64(s.Requests-last.Requests)/length, float64(s.Notified-last.Notified)/length,
		rounded(recent.Quantile(0.99)), failed, late, r.count.dropped.Load(), (s.OwnCPU-last.OwnCPU)/length*100)
	if o.server != nil {
		line += fmt.Sprintf("  server CPU %.0f %%  %d MB", (s.ServerCPU-last.ServerCPU)/length*100, s.ServerRSS>>20)
	}
	fmt.Fprintln(r.cfg.Progress, line)
}

func clockTime(seconds float64) string {
	n := int(seconds)
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

// rounded is a duration with three digits, for people.
func rounded(d time.Duration) time.Duration {
	for unit := time.Duration(1); unit < time.Minute; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
	return d.Round(time.Second)
}
