package trivet

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// parsers is what matters of a package: the exported functions that parse, and
// the names that its fuzz targets use, themselves or by functions of the tests.
type parsers struct {
	functions map[string]token.Position
	uses      map[string][]string // names in the functions of the tests
}

// TestParsersAreFuzzed wants a fuzz target, a FuzzXxx that calls it, in the package
// of every exported function of wire, rule and load that parses.
func TestParsersAreFuzzed(t *testing.T) {
	t.Parallel()
	fset, found := token.NewFileSet(), map[string]*parsers{}
	for _, root := range []string{"wire", "rule", "load"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			dir := filepath.Dir(path)
			if found[dir] == nil {
				found[dir] = &parsers{map[string]token.Position{}, map[string][]string{}}
			}
			found[dir].take(fset, file, path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir, p := range found {
		fuzzed := p.fuzzed()
		for name, at := range p.functions {
			if !fuzzed[name] {
				t.Errorf("%s: no fuzz target of %s calls %s", at, dir, name)
			}
		}
	}
}

func (p *parsers) take(fset *token.FileSet, file *ast.File, path string) {
	test := strings.HasSuffix(path, "_test.go")
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		switch {
		case !ok:
		case test && f.Recv == nil:
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					p.uses[f.Name.Name] = append(p.uses[f.Name.Name], id.Name)
				}
				return true
			})
		case !test && f.Name.IsExported() && parses(f, strings.HasPrefix(path, "wire")):
			p.functions[f.Name.Name] = fset.Position(f.Pos())
		}
	}
}

// fuzzed are the names that fuzz targets come to.
func (p *parsers) fuzzed() map[string]bool {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if !seen[name] {
			seen[name] = true
			for _, used := range p.uses[name] {
				visit(used)
			}
		}
	}
	for name := range p.uses {
		if strings.HasPrefix(name, "Fuzz") {
			visit(name)
		}
	}
	return seen
}

// parses reports whether a function reads what strangers send. In wire that is
// each that can fail; elsewhere the name tells, and that it takes bytes or text
// rather than the name of a file.
func parses(f *ast.FuncDecl, wire bool) bool {
	if results := f.Type.Results; wire && f.Recv == nil && results != nil {
		if last, ok := results.List[len(results.List)-1].Type.(*ast.Ident); ok && last.Name == "error" {
			return true
		}
	}
	name := f.Name.Name
	if strings.HasPrefix(name, "Read") && f.Recv == nil && len(f.Type.Params.List) > 0 {
		_, bytes := f.Type.Params.List[0].Type.(*ast.ArrayType)
		return bytes
	}
	return strings.HasPrefix(name, "Parse") || strings.HasPrefix(name, "Decode")
}
