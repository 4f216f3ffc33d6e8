package trivet

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"trivet/admin/cmdlet"
)

var (
	cmdletName = regexp.MustCompile(`\b[A-Z][a-z]+-Cs[A-Za-z]+`)
	codeSpan   = regexp.MustCompile("`[^`]+`")
	shellWord  = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
	// targets are the flags of the program that stand among the parameters.
	targets = regexp.MustCompile(` --(server|user|ca|data)[ =]\S+`)
)

// TestExamplesOfCmdlets reads every mention of a cmdlet in the pages: its name is
// in the catalogue, its parameters are its own, and a command line of an example is
// one that it takes. So are the examples of the help.
func TestExamplesOfCmdlets(t *testing.T) {
	t.Parallel()
	lines := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".md") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range cmdletName.FindAllString(string(text), -1) {
			if _, err := cmdlet.Lookup(name); err != nil {
				t.Errorf("%s: there is no cmdlet %s", path, name)
			}
		}
		code, prose := parts(string(text))
		for _, line := range code {
			for _, command := range commands(line) {
				lines++
				checkCommand(t, path, command, true)
			}
		}
		for _, span := range codeSpan.FindAllString(prose, -1) {
			for _, command := range commands(strings.Trim(span, "`")) {
				checkCommand(t, path, command, false)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cmdlet.All() {
		for _, command := range commands(c.Example) {
			checkCommand(t, "the help of "+c.Name, command, true)
		}
	}
	if lines < 50 {
		t.Errorf("only %d command lines were found", lines)
	}
}

// parts takes a page apart: the lines of code, and the rest.
func parts(page string) (code []string, prose string) {
	var rest []string
	fenced := false
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced, strings.HasPrefix(line, "    "):
			code = append(code, line)
		default:
			rest = append(rest, line)
		}
	}
	return code, strings.Join(rest, "")
}

// commands are the cmdlets with their arguments that a line of a shell runs. What
// the shell makes of the output is left out.
func commands(line string) (list [][]string) {
	for command := range strings.SplitSeq(targets.ReplaceAllString(line, ""), ";") {
		words := shellWord.FindAllString(command, -1)
		for len(words) > 0 && (words[0] == "$" || strings.HasSuffix(words[0], "trivet")) {
			words = words[1:]
		}
		if len(words) == 0 || cmdletName.FindString(words[0]) != words[0] {
			continue
		}
		for i, w := range words {
			if w == "|" || w == ">" || strings.HasPrefix(w, "#") {
				words = words[:i]
				break
			}
			words[i] = strings.Trim(w, `'"`)
		}
		list = append(list, words)
	}
	return list
}

// checkCommand has a cmdlet read its arguments. In a text, what is not whole may
// only name a parameter.
func checkCommand(t *testing.T, path string, words []string, whole bool) {
	t.Helper()
	c, err := cmdlet.Lookup(words[0])
	if err != nil || strings.Contains(words[len(words)-1], "<") { // it was said already; a key to press
		return
	}
	given, err := c.Parse(words[1:])
	if err != nil && !whole {
		given, err = c.Parse(append(words[1:], "x"))
	}
	if err == nil && whole {
		_, err = c.Bind(given.Values)
	}
	if err != nil {
		t.Errorf("%s: %s: %v", path, strings.Join(words, " "), err)
	}
}
