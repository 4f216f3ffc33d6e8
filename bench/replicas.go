package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/uc"
)

// replicaPool is the name that the servers' certificates are issued for.
const replicaPool uc.PoolFQDN = "store.example.test"

func replicaName(number uint64) uc.ServerFQDN {
	if number == 0 || number > storeServers {
		return ""
	}
	return uc.ServerFQDN(fmt.Sprintf("store%d.example.test", number))
}

// startReplicas starts three processes of this program (replicaServer), each with a
// replica.Host on an empty folder and the links that the servers of a pool have.
func (l lab) startReplicas(groups int) (replicated, error) {
	self, err := os.Executable()
	if err != nil {
		return replicated{}, err
	}
	keys := filepath.Join(l.dir, "keys")
	if err := pki.NewPool(keys, replicaPool, clock.Real{}); err != nil {
		return replicated{}, err
	}
	addrs, peers := make([]string, storeServers), make([]string, storeServers)
	for i := range storeServers {
		addrs[i], peers[i] = freeAddr(), freeAddr()
	}
	return startThree(func(i int) (*server, error) {
		name := fmt.Sprintf("store%d", i+1)
		data := filepath.Join(l.dir, name)
		if err := os.RemoveAll(data); err != nil {
			return nil, err
		}
		if err := pki.Share(keys, data); err != nil {
			return nil, err
		}
		cmd := exec.Command(self, replicaCommand, "--data", data, "--number", strconv.Itoa(i+1),
			"--groups", strconv.Itoa(groups), "--listen", addrs[i], "--peers", strings.Join(peers, ","))
		return start(name, cmd, l.dir, addrs[i])
	}, addrs)
}
