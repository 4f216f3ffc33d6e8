package peer

import (
	"context"
	"fmt"
	"io"
	"testing"

	"trivet/uc"
)

// BenchmarkPost sends datagrams to another server in this process, over TLS.
func BenchmarkPost(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			arrived := make(chan struct{}, 1<<16)
			p := start(b, 2, nil, func(n *Net) { n.Handle(1, func(uc.ServerFQDN, []byte) { arrived <- struct{}{} }) })
			p.awaitUp(b)
			payload, under := make([]byte, size), 0
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for under >= 512 {
					<-arrived
					under--
				}
				if !p.nets[0].Post(name(1), 1, payload) {
					b.Fatal("dropped")
				}
				under++
			}
			for ; under > 0; under-- {
				<-arrived
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

func BenchmarkCall(b *testing.B) {
	p := start(b, 2, nil, func(n *Net) {
		n.Serve("echo", func(_ context.Context, _ uc.ServerFQDN, in []byte) ([]byte, error) { return in, nil })
	})
	p.awaitUp(b)
	in := make([]byte, 200)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.nets[0].Call(b.Context(), name(1), "echo", in); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkStream(b *testing.B) {
	p := start(b, 2, nil, func(n *Net) {
		n.ServeStream("keep", func(_ context.Context, _ uc.ServerFQDN, _ []byte, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
	})
	p.awaitUp(b)
	const size = 64 << 20
	b.SetBytes(size)
	for b.Loop() {
		if err := p.nets[0].Stream(b.Context(), name(1), "keep", nil, io.LimitReader(endless{}, size)); err != nil {
			b.Fatal(err)
		}
	}
}
