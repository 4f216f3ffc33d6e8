package replica

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/uc"
)

// fsyncs measures what the disk of dir can do: small writes flushed one by one.
func fsyncs(b *testing.B, dir string) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block, n := make([]byte, 1024), 0
	begin := time.Now()
	for time.Since(begin) < 500*time.Millisecond {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(begin).Seconds()
}

// counter is a machine that costs nothing, so that the host is measured.
type counter struct {
	ledger
	n int
}

func (c *counter) Apply(uint64, []byte) (any, []any) { c.n++; return c.n, nil }

// BenchmarkPropose is 64 writers of 1 KiB commands over 8 groups, flushed.
func BenchmarkPropose(b *testing.B) {
	dir := b.TempDir()
	disk := fsyncs(b, dir)
	h := open(b, Config{Dir: filepath.Join(dir, "data")})
	var groups []*Group
	for id := range uc.GroupID(8) {
		g, err := h.Start(soon(b), id+1, &counter{}, Alone(1))
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Ready(soon(b)); err != nil {
			b.Fatal(err)
		}
		groups = append(groups, g)
	}
	const writers = 64
	took := make([][]time.Duration, writers)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			cmd := make([]byte, 1024)
			for range max(b.N/writers, 1) {
				begin := time.Now()
				if _, err := groups[w%8].Propose(context.Background(), cmd); err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(begin))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(disk, "disk-fsync/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkRead is linearizable reads of 64 readers.
func BenchmarkRead(b *testing.B) {
	h := open(b, Config{Dir: filepath.Join(b.TempDir(), "data")})
	g, _ := start(b, h, 1)
	if err := g.Ready(soon(b)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := g.Read(context.Background(), func() {}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkStart opens a folder with eight groups until all can be used, and
// tells what the idle process holds.
func BenchmarkStart(b *testing.B) {
	cfg := Config{Dir: filepath.Join(b.TempDir(), "data")}
	for b.Loop() {
		h := open(b, cfg)
		for id := range uc.GroupID(8) {
			start(b, h, id+1)
		}
		for id := range uc.GroupID(8) {
			if err := h.Group(id + 1).Ready(soon(b)); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		b.ReportMetric(resident(), "RSS-MB")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		closeHost(b, h)
		b.StartTimer()
	}
}

// resident is the memory of this process in MB; 0 where /proc is missing.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb float64
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscan(rest, &kb)
		}
	}
	return kb / 1024
}
