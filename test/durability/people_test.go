package durability

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// people is an administrator at the shell: creates users, changes and removes
// them, and changes a policy, one cmdlet after the other.
type people struct {
	*server
	dice  *rand.Rand
	made  int
	total int // cmdlets that succeeded

	titles  map[string]string // title by name, as acknowledged; the policy's text under its noun
	pending map[string]string // as it would be after the cmdlet under way; nil: none was
}

const (
	staff = "staff"
	noun  = "CsClientPolicy"
)

// next draws a cmdlet, and what will be once it is carried out.
func (p *people) next() (args []string, after map[string]string) {
	p.made++
	after = maps.Clone(p.titles)
	title := fmt.Sprintf("Title %d", p.made)
	if p.dice.IntN(5) == 0 {
		after[noun] = title
		return []string{"Set-" + noun, "-IMWarning", title}, after
	}
	for name := range p.titles { // any one
		if name == noun {
			continue
		}
		if p.dice.IntN(6) == 0 {
			delete(after, name)
			return []string{"Remove-CsUser", name, "-Force"}, after
		}
		if p.dice.IntN(4) > 0 || len(p.titles) > 20 {
			after[name] = title
			return []string{"Set-CsUser", name, "-Title", title}, after
		}
		break
	}
	name := fmt.Sprintf("%s%d@%s", staff, p.made, domain)
	after[name] = title
	return []string{"New-CsUser", name, "-Title", title, "-Password", password}, after
}

// work runs cmdlets until the server dies; done is called for each that succeeded.
func (p *people) work(t *testing.T, died *lives, done func()) {
	if p.titles == nil {
		p.titles = map[string]string{}
	}
	for !died.now() {
		args, after := p.next()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := p.cmdlet(ctx, args...)
		cancel()
		if err != nil {
			if p.pending = after; !died.now() {
				t.Error(err)
			}
			return
		}
		p.titles = after
		p.total++
		done()
	}
}

// check holds the directory against what was acknowledged.
func (p *people) check(t *testing.T) {
	out, err := p.cmdlet(t.Context(), "Get-CsUser", "-As", "json")
	if err != nil {
		t.Error(err)
		return
	}
	var rows []struct{ Identity, Title string }
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Errorf("Get-CsUser: %v", err)
		return
	}
	got := p.policy(t)
	for _, r := range rows {
		if strings.HasPrefix(r.Identity, staff) {
			got[r.Identity] = r.Title
		}
	}
	switch {
	case maps.Equal(got, p.titles):
	case p.pending != nil && maps.Equal(got, p.pending):
	default:
		t.Errorf("users acknowledged (-) are not those that are there (+): %s", cmp.Diff(p.titles, got))
	}
	p.titles, p.pending = got, nil
}

// policy is the text of the policy as it is, by its noun.
func (p *people) policy(t *testing.T) map[string]string {
	out, err := p.cmdlet(t.Context(), "Get-"+noun, "Global", "-As", "json")
	var rows []struct{ IMWarning string }
	if err == nil {
		err = json.Unmarshal(out, &rows)
	}
	if err != nil || len(rows) != 1 {
		t.Errorf("Get-%s: %v %s", noun, err, out)
		return map[string]string{}
	}
	if rows[0].IMWarning == "" {
		return map[string]string{}
	}
	return map[string]string{noun: rows[0].IMWarning}
}
