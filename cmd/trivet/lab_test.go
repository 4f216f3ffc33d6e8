package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"trivet/box"
)

// Every command of a lab can be given by name, and says where there is no lab.
func TestLabCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, line := range append(strings.Split(strings.TrimSpace(box.Commands), "\n"), box.DownCommand) {
		words := strings.Fields(line[:min(len(line), 23)])
		var out bytes.Buffer
		cmd := program{out: &out, err: &out}.labCommand()
		cmd.SetArgs(append([]string{"--dir", dir}, words...))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "no lab runs in this folder") {
			t.Errorf("%v: %v", words, err)
		}
	}
}

func TestLabPeople(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.json")
	few, err := labPeople(file, "example.test", 2)
	if err != nil || len(few) != 2 || few[1].SipAddress != "sip:bob@example.test" || few[0].Password == few[1].Password {
		t.Fatalf("%+v %v", few, err)
	}
	more, err := labPeople(file, "example.test", 6)
	if err != nil || len(more) != 6 || more[0] != few[0] || more[1] != few[1] {
		t.Errorf("%+v %v", more, err)
	}
}
