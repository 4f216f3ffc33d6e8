package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// startEtcd starts three members with empty folders and etcd's own defaults: every
// write flushed, heartbeats of 100 ms, elections after 1 s. The members know one
// another by certificates; the client comes without, as it does to ours.
func (l lab) startEtcd() (replicated, error) {
	bin, err := exec.LookPath("etcd")
	if err != nil {
		return replicated{}, fmt.Errorf("etcd is missing: apt-get install etcd-server")
	}
	cert, key, err := l.certificate()
	if err != nil {
		return replicated{}, err
	}
	names, addrs, peers := make([]string, storeServers), make([]string, storeServers), make([]string, storeServers)
	cluster := make([]string, storeServers)
	for i := range storeServers {
		names[i], addrs[i], peers[i] = fmt.Sprintf("etcd%d", i+1), freeAddr(), "https://"+freeAddr()
		cluster[i] = names[i] + "=" + peers[i]
	}
	return startThree(func(i int) (*server, error) {
		data := filepath.Join(l.dir, names[i])
		if err := os.RemoveAll(data); err != nil {
			return nil, err
		}
		cmd := exec.Command(bin, "--name", names[i], "--data-dir", data,
			"--listen-client-urls", "http://"+addrs[i], "--advertise-client-urls", "http://"+addrs[i],
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new",
			"--peer-cert-file", cert, "--peer-key-file", key, "--peer-trusted-ca-file", cert, "--peer-client-cert-auth",
			"--logger", "zap")
		return start(names[i], cmd, l.dir, addrs[i])
	}, addrs)
}

// startThree starts the servers at the same time, since none is ready without others.
func startThree(begin func(i int) (*server, error), addrs []string) (replicated, error) {
	servers, failed := make([]*server, storeServers), make([]error, storeServers)
	var all sync.WaitGroup
	for i := range storeServers {
		all.Go(func() { servers[i], failed[i] = begin(i) })
	}
	all.Wait()
	r := replicated{addrs: addrs}
	var first error
	for i, s := range servers {
		if s != nil {
			r.servers = append(r.servers, s)
		} else if first == nil {
			first = failed[i]
		}
	}
	if first != nil {
		r.stop()
	}
	return r, first
}
