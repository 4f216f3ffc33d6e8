package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/peer"
	"trivet/link/pki"
	"trivet/replica"
	"trivet/uc"
)

// replicaCommand is the first argument that makes this program one of the servers of
// the duel replicated-writes.
const replicaCommand = "replica-server"

// replicaServer is one of three processes that keep the last value of every key: a
// replica.Host with its defaults, the links of a pool, and etcd's Put before it.
func replicaServer(args []string) error {
	fs := flag.NewFlagSet(replicaCommand, flag.ContinueOnError)
	data := fs.String("data", "", "data folder")
	number := fs.Uint64("number", 0, "which of the servers, from 1")
	groups := fs.Int("groups", 1, "how many groups the keys are dealt out to")
	listen := fs.String("listen", "", "where writes are taken, host:port")
	peers := fs.String("peers", "", "where the servers reach one another, host:port of each, with commas")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	all := life.New(ctx, log)
	s := &replicas{number: *number, log: log, life: all}
	err := s.open(ctx, *data, strings.Split(*peers, ","), *groups)
	if err == nil {
		err = s.serve(*listen)
	}
	if err == nil {
		<-all.Context().Done()
		err = all.Err()
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, all.Stop(ending))
}

// replicas is the groups of one server.
type replicas struct {
	number uint64
	log    *slog.Logger
	life   *life.Group
	groups []*replica.Group
}

// open starts the links and the groups.
func (s *replicas) open(ctx context.Context, dir string, peers []string, groups int) error {
	name := replicaName(s.number)
	keys, err := pki.Open(pki.Config{Dir: dir, Names: pki.Names{Server: name, Pool: replicaPool}, Clock: clock.Real{}, Log: s.log})
	if err != nil {
		return err
	}
	s.life.Add("keys", time.Second, func(context.Context) error { return keys.Close() })
	addrs := map[uc.ServerFQDN]string{}
	first := replica.Members{}
	for i, addr := range peers {
		addrs[replicaName(uint64(i+1))] = addr
		first.Voters = append(first.Voters, uint64(i+1))
	}
	links := replicaLinks{peer.New(peer.Config{
		Self: name, Servers: func() map[uc.ServerFQDN]string { return addrs },
		Certificate: keys.GetCertificate, Roots: keys.Roots(), Clock: clock.Real{}, Log: s.log, Life: s.life,
	})}
	host, err := replica.Open(ctx, replica.Config{
		Dir: filepath.Join(dir, "groups"), NodeID: s.number, Log: s.log, Clock: clock.Real{}, Servers: replicaName, Transport: links,
	})
	if err != nil {
		return err
	}
	s.life.Add("groups", 5*time.Second, host.Close)
	for g := range groups {
		group, err := host.Start(ctx, uc.GroupID(g+1), lastValues{}, first)
		if err != nil {
			return err
		}
		s.groups = append(s.groups, group)
	}
	links.receive(host)
	s.life.Go("primaries", s.spread)
	_, err = links.Listen(ctx, addrs[name])
	return err
}

// spread hands groups over until their primaries are dealt out evenly, as the manager
// of a pool does.
func (s *replicas) spread(ctx context.Context) error {
	for {
		for i, g := range s.groups {
			if _, primary := g.Leader(); primary && uint64(i%storeServers+1) != s.number {
				g.Handover(uint64(i%storeServers + 1))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// serve takes writes.
func (s *replicas) serve(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.life.Add("writes", time.Second, func(context.Context) error { return ln.Close() })
	s.life.Go("writes", func(ctx context.Context) error { return putServer{s.put}.serve(ctx, ln) })
	return nil
}

// put is etcd's Put: it answers once the value is durable on a majority and applied
// here.
func (s *replicas) put(ctx context.Context, body []byte) ([]byte, error) {
	key, _, err := readPut(body)
	if err != nil {
		return nil, err
	}
	group := s.groups[crc32.ChecksumIEEE(key)%uint32(len(s.groups))]
	index, err := group.Propose(ctx, body)
	if err != nil {
		return nil, err
	}
	out := binary.AppendUvarint([]byte{0, 0, 0, 0, 0, 1 << 3}, index.(uint64))
	out[4] = byte(len(out) - grpcHead)
	return out, nil
}
