package cmdlet

import (
	"context"
	"fmt"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/topology"
)

// Topology is the document that the deployment runs on.
type Topology interface {
	// Current is the one that holds.
	Current(ctx context.Context) (TopologyState, error)
	// Facts are what the world says of a document: names, databases.
	Facts(ctx context.Context, d *topology.Document) topology.Facts
	// Publish replaces it, if version is still the current one.
	Publish(ctx context.Context, version uint64, text []byte) error
}

// TopologyState is the document that holds.
type TopologyState struct {
	Version   uint64
	Published time.Time // zero: since the start
	Text      []byte
	Document  *topology.Document
}

// findingRow is something about a document.
type findingRow struct {
	Level string // Warning: what is refused is an error
	Path  string
	Text  string
}

var findingTable = []string{"Level", "Path", "Text"}

// judge writes warnings; refusals are an error that names each.
func (c *Call) judge(list []topology.Finding) error {
	var refused []string
	for _, f := range list {
		if f.Refused {
			refused = append(refused, f.Path+": "+f.Text)
		} else {
			c.Write(findingRow{"Warning", f.Path, f.Text})
		}
	}
	if len(refused) > 0 {
		return fault.Newf(fault.Invalid, "cmdlet.Topology", "the topology is refused for %s:\n%s", plural(len(refused), "reason"), strings.Join(refused, "\n"))
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
