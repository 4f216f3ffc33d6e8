// Package trivet holds no code: its test keeps the floors of the house.
package trivet

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "trivet/"

// floors says who may import what, inside the module. The first line whose
// pattern fits a package counts; "x" is x and all below, "x/" only what is below,
// "=x" only x itself. Changing a line is a design decision: docs/architecture.md.
var floors = []struct{ pkg, may string }{
	{"fault", ""}, {"uc", "fault"}, // ground
	{"wire/", "fault wire/"},
	{"rule/", "fault uc rule/"},
	{"kit/", "fault kit/"},                     // the stairwell
	{"store/", "fault uc rule/ kit/"},          // middle
	{"replica", "fault uc =rule/witness kit/"}, // the voter without data is a pure rule
	{"link/", "fault uc wire/ rule/ kit/ link/"},
	{"service/", "fault uc wire/ rule/ kit/ store/ replica link/"}, // and no other service
	{"role/all", "role"},                                           // top
	{"role/", "fault uc wire/ rule/ kit/ store/ replica link/ service/ admin =role"},
	{"role", "fault uc rule/ kit/"},
	{"admin", "fault uc wire/ rule/ kit/ link/ admin"},
	{"load", "fault uc wire/ rule/ kit/ link/ load"},
	{"sim", "fault uc rule/ kit/ replica =service/poolmanager"},
	{"cmd/", "fault uc =rule/topology kit/ link/ role admin box load sim"},
	{"box", "fault uc rule/ kit/ link/ role admin box"},
	{"bench", "fault uc rule/ kit/ store/ replica link/ service/ bench load"},
	{"test/", "fault uc wire/ rule/ kit/ store/ replica link/ service/ role admin box test/"},
}

const (
	pure   = "fault uc wire/ rule/"                                                // no clock, chance, files, sockets
	impure = "net net/http os math/rand math/rand/v2 crypto/rand database/sql"     // imports pure packages lack
	clocks = "time.Now time.Since time.Until time.After time.AfterFunc time.Sleep" // calls pure packages lack
	mayGo  = "kit/life link/ test/ bench load"                                     // packages that may start goroutines
)

func fits(name, patterns string) bool {
	for _, p := range strings.Fields(patterns) {
		q, only := strings.CutPrefix(p, "=")
		switch {
		case only && name == q, name == p:
			return true
		case !only && strings.HasPrefix(name, strings.TrimSuffix(p, "/")+"/"):
			return true
		}
	}
	return false
}

type listed struct {
	ImportPath, Dir, Doc string
	GoFiles, Imports     []string
}

func TestFloors(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if name, ours := strings.CutPrefix(p.ImportPath, module); ours && len(p.GoFiles) > 0 {
			check(t, name, p)
		}
	}
}

func check(t *testing.T, name string, p listed) {
	floor := slices.IndexFunc(floors, func(f struct{ pkg, may string }) bool { return fits(name, f.pkg) })
	if floor < 0 {
		t.Errorf("%s stands on no floor", name)
		return
	}
	if p.Doc == "" {
		t.Errorf("%s has no package comment", name)
	}
	isPure := fits(name, pure)
	for _, imp := range p.Imports {
		if ours, ok := strings.CutPrefix(imp, module); ok && !fits(ours, floors[floor].may) {
			t.Errorf("%s may not import %s", name, ours)
		} else if !ok && isPure && slices.Contains(strings.Fields(impure), imp) {
			t.Errorf("%s is pure and may not import %s", name, imp)
		}
	}
	for _, file := range p.GoFiles {
		checkSyntax(t, name, filepath.Join(p.Dir, file), isPure)
	}
}

// checkSyntax finds go statements outside the packages that may have them,
// clocks in pure packages, and init functions anywhere.
func checkSyntax(t *testing.T, name, file string, isPure bool) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if !fits(name, mayGo) {
				t.Errorf("%s: starts a goroutine; use kit/life", fset.Position(n.Pos()))
			}
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: has an init function; build values where they are used", fset.Position(n.Pos()))
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && isPure && slices.Contains(strings.Fields(clocks), x.Name+"."+n.Sel.Name) {
				t.Errorf("%s: a pure package reads the clock", fset.Position(n.Pos()))
			}
		}
		return true
	})
}
