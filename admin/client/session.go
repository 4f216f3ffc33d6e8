package client

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/kit/clock"
)

// Exit statuses of a cmdlet in the shell.
const (
	Done       = 0
	Failed     = 1
	WrongUse   = 2
	NotReached = 3
)

// Session is one invocation in a shell.
type Session struct {
	Target   Target
	In       io.Reader
	Out, Err io.Writer
	// Terminal tells whether a person sits at In and Out.
	Terminal bool
	// AskSecret reads a line without echo; used on a terminal only.
	AskSecret func(prompt string) (string, error)
	// Clock is for local cmdlets.
	Clock clock.Clock
	// Zone is the reader's time zone for tables and lists; nil = the machine's.
	Zone *time.Location

	lines *bufio.Reader // of In, made at the first question
}

// line reads one line of In.
func (s *Session) line() (string, error) {
	if s.lines == nil {
		s.lines = bufio.NewReader(io.LimitReader(s.In, 64<<10))
	}
	line, err := s.lines.ReadString('\n')
	if line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// Run parses the arguments of a cmdlet, runs it, prints and returns the exit
// status.
func (s *Session) Run(ctx context.Context, name string, args []string) int {
	c, err := cmdlet.Lookup(name)
	if err != nil {
		return s.fail(err, true)
	}
	given, err := c.Parse(args)
	if err != nil {
		return s.fail(err, true)
	}
	if given.Help {
		fmt.Fprint(s.Out, c.Help())
		return Done
	}
	files, err := s.prepare(c, &given)
	if err != nil {
		return s.fail(err, true)
	}
	start := s.Clock.Now()
	reply, err := s.execute(ctx, c, given)
	if given.Verbose {
		fmt.Fprintf(s.Err, "%s took %v.\n", c.Name, s.Clock.Now().Sub(start).Round(time.Millisecond))
	}
	if err != nil && len(reply.Rows) == 0 {
		return s.fail(err, fault.Is(err, fault.Invalid))
	}
	if saved := save(files, &reply); saved != nil {
		return s.fail(saved, false)
	}
	if printed := s.print(c, given.As, reply); printed != nil {
		return s.fail(printed, false)
	}
	if err != nil {
		return Failed
	}
	return Done
}

// fail prints one sentence and returns the exit status.
func (s *Session) fail(err error, use bool) int {
	fmt.Fprintln(s.Err, Sentence(err))
	switch {
	case errors.Is(err, ErrNotReached):
		return NotReached
	case use:
		return WrongUse
	}
	return Failed
}

// Sentence is an error as the administrator reads it.
func Sentence(err error) string {
	text := err.Error()
	var f *fault.Error
	if errors.As(err, &f) && f.Text != "" {
		text = f.Text
	}
	var cause syscall.Errno
	if errors.As(err, &cause) && !strings.Contains(text, cause.Error()) {
		text = strings.TrimSuffix(text, ".") + " (" + cause.Error() + ")"
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
		text += "."
	}
	if c := text[0]; 'a' <= c && c <= 'z' && isWord(text) {
		text = string(c-'a'+'A') + text[1:]
	}
	return text
}

// isWord reports whether text begins with a word, not with the name of a file or
// of a setting.
func isWord(text string) bool {
	first, _, _ := strings.Cut(text, " ")
	return !strings.ContainsAny(strings.TrimRight(first, ".,:;"), "./:_")
}

// output is a file that gets a property of the result.
type output struct {
	path   string
	binary bool // the property is in base64
}

// prepare reads files and secrets that the parameters name, and takes out where
// results go: property to file.
func (s *Session) prepare(c cmdlet.Cmdlet, g *cmdlet.Given) (map[string]output, error) {
	outputs := map[string]output{}
	for _, p := range c.Params() {
		text, given := g.Values[p.Name].(string)
		switch {
		case p.Output != "" && given:
			outputs[p.Output] = output{text, p.Binary}
		case p.File && given:
			b, err := readFile(text, p, c.Largest)
			if err != nil {
				return nil, err
			}
			g.Values[p.Name] = string(b)
			if p.Binary {
				g.Values[p.Name] = base64.StdEncoding.EncodeToString(b)
			}
		case p.Secret:
			if err := s.secret(c, p, g, text, given); err != nil {
				return nil, err
			}
		}
	}
	return outputs, nil
}

// smallest is the size of a call that a cmdlet without Largest may have.
const smallest = 1 << 20

// readFile reads the file that a parameter names, if it fits in a call of so many
// bytes.
func readFile(path string, p cmdlet.Param, largest int64) ([]byte, error) {
	const op = "client.readFile"
	room := max(largest, smallest)
	if p.Binary {
		room = room / 4 * 3 // as base64
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, op, "-%s cannot be read: %v", p.Name, err).About(p.Name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, room+1))
	switch {
	case err != nil:
		return nil, fault.Newf(fault.Invalid, op, "-%s cannot be read: %v", p.Name, err).About(p.Name)
	case int64(len(b)) > room:
		return nil, fault.Newf(fault.Invalid, op, "-%s needs a file of at most %d bytes; %s is larger", p.Name, room, path).About(p.Name)
	}
	return b, nil
}

// secret fills in a secret: from standard input when it is given as "-", from the
// terminal when it is not given and nothing stands in for it.
func (s *Session) secret(c cmdlet.Cmdlet, p cmdlet.Param, g *cmdlet.Given, text string, given bool) error {
	generated, _ := g.Values["GeneratePassword"].(bool)
	switch {
	case given && text == "-":
		line, err := s.line()
		if err != nil {
			return fault.Newf(fault.Invalid, "client.secret", "-%s - needs a line on standard input", p.Name).About(p.Name)
		}
		g.Values[p.Name] = line
	case !given && !generated && s.Terminal && !g.WhatIf:
		typed, err := s.AskSecret(c.Name + " -" + p.Name + ": ")
		if err != nil {
			return fault.Newf(fault.Invalid, "client.secret", "-%s was not typed", p.Name).About(p.Name)
		}
		g.Values[p.Name] = typed
	}
	return nil
}

// execute confirms where needed and runs, here or on the server.
func (s *Session) execute(ctx context.Context, c cmdlet.Cmdlet, g cmdlet.Given) (Reply, error) {
	if c.Local {
		return s.local(ctx, c, g)
	}
	if s.Target.Server != "" && s.Target.Password == "" {
		if err := s.signIn(); err != nil {
			return Reply{}, err
		}
	}
	conn, err := dial(s.Target)
	if err != nil {
		return Reply{}, err
	}
	defer conn.client.CloseIdleConnections()
	if g.Verbose {
		fmt.Fprintf(s.Err, "Asking %s.\n", conn.shown)
	}
	if !g.WhatIf && s.asks(c, g) {
		plan, err := conn.call(ctx, c.Name, g, true)
		if err != nil {
			return Reply{}, err
		}
		if yes, err := s.confirm(plan.Plans); !yes || err != nil {
			return Reply{}, err
		}
	}
	return conn.call(ctx, c.Name, g, g.WhatIf)
}

// asks reports whether the administrator has to confirm.
func (s *Session) asks(c cmdlet.Cmdlet, g cmdlet.Given) bool {
	if g.Confirm != nil {
		return *g.Confirm
	}
	return c.Asks && s.Terminal && !g.Force
}

func (s *Session) confirm(plans []string) (bool, error) {
	if len(plans) == 0 {
		return true, nil
	}
	for _, p := range plans {
		fmt.Fprintln(s.Err, p)
	}
	fmt.Fprint(s.Err, "Do it? [y/N] ")
	line, err := s.line()
	if err != nil {
		return false, fault.New(fault.Invalid, "client.confirm", "-Confirm needs an answer on standard input; give -Confirm:$false where nobody answers").About("Confirm")
	}
	if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
		return true, nil
	}
	fmt.Fprintln(s.Err, "Nothing was done.")
	return false, nil
}

// signIn completes the account of a remote server.
func (s *Session) signIn() error {
	const op = "client.signIn"
	if s.Target.User == "" {
		return fault.New(fault.Invalid, op, "--server needs --user, an administrator's name").About("user")
	}
	if !s.Terminal {
		return fault.New(fault.Invalid, op, "--user needs a password; set TRIVET_PASSWORD where nobody can type it").About("user")
	}
	password, err := s.AskSecret("Password of " + s.Target.User + ": ")
	s.Target.Password = password
	if err != nil || password == "" {
		return fault.New(fault.Invalid, op, "the password was not typed").About("user")
	}
	return nil
}

// local runs a cmdlet in this process.
func (s *Session) local(ctx context.Context, c cmdlet.Cmdlet, g cmdlet.Given) (Reply, error) {
	runner, err := c.Bind(g.Values)
	if err != nil {
		return Reply{}, err
	}
	roots, err := Trusted(s.Target)
	if err != nil {
		return Reply{}, err
	}
	call := &cmdlet.Call{Clock: s.Clock, Roots: roots}
	err = runner.Run(ctx, call)
	reply := Reply{Warnings: call.Warnings}
	for _, row := range call.Rows {
		b, bad := json.Marshal(row)
		if bad != nil {
			return Reply{}, fault.Wrap("client.local", bad)
		}
		reply.Rows = append(reply.Rows, b)
	}
	return reply, err
}

// save writes the properties that go to files and drops them from the rows.
func save(files map[string]output, r *Reply) error {
	for property, file := range files {
		for i, raw := range r.Rows {
			row, err := properties(raw)
			if err != nil {
				return err
			}
			at := slices.IndexFunc(row, func(p member) bool { return p.name == property })
			if at < 0 {
				continue
			}
			var text string
			if err := json.Unmarshal(row[at].value, &text); err != nil {
				return fault.Wrap("client.save", err)
			}
			data := []byte(text)
			if file.binary {
				if data, err = base64.StdEncoding.DecodeString(text); err != nil {
					return fault.Wrap("client.save", err)
				}
			}
			if err := os.WriteFile(file.path, data, 0o644); err != nil {
				return fault.Newf(fault.Invalid, "client.save", "%s cannot be written: %v", file.path, err)
			}
			row[at] = member{"Output", marshalText(file.path)}
			r.Rows[i] = compose(row)
		}
	}
	return nil
}
