package topology

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/topology.schema.json anew")

// The published schema is that of the types the parser fills.
func TestPublishedSchema(t *testing.T) {
	const file = "../../docs/topology.schema.json"
	if *update {
		if err := os.WriteFile(file, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(Schema()), string(have)); d != "" {
		t.Errorf("%s is not the schema of the types; go test ./rule/topology -update writes it (-types +file)\n%s", file, d)
	}
}
