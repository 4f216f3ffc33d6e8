package server

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"trivet/test/peer/loopback"
)

// common is a server for the tests that leave it as they found it; everybody who
// changes a user makes one of his own on it.
var common = struct {
	sync.Once
	*Server
	dir string
	err error
}{}

func shared(t *testing.T) *Server {
	t.Helper()
	common.Do(func() {
		if common.dir, common.err = os.MkdirTemp("", "trivet-attack"); common.err == nil {
			common.Server, common.err = launch(filepath.Join(common.dir, "data"), loopback.Addr(t), nil)
		}
	})
	if common.err != nil {
		t.Fatal(common.err)
	}
	return common.Server
}

func TestMain(m *testing.M) {
	status := m.Run()
	if common.Server != nil {
		if err := common.stop(); err != nil {
			println("the server ends with", err.Error())
			status = 1
		}
	}
	os.RemoveAll(common.dir)
	os.Exit(status)
}
