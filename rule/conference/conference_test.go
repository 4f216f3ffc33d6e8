package conference

import (
	"testing"

	"trivet/rule/access"
)

func TestEnter(t *testing.T) {
	colleague, partner, anonymous := Person{Realm: access.Company}, Person{Realm: access.Partner}, Person{Realm: access.PublicUser}
	listed := func(p Person) Person { p.Listed = true; return p }
	presenter := func(p Person) Person { p.Listed, p.Presenter = true, true; return p }
	organizer := Person{Organizer: true, Realm: access.Company}
	for _, c := range []struct {
		level  Level
		locked bool
		who    Person
		want   Verdict
	}{
		{SameEnterprise, false, colleague, Admitted},
		{SameEnterprise, false, organizer, Admitted},
		{SameEnterprise, false, partner, NotOfCompany},
		{SameEnterprise, false, listed(partner), NotOfCompany},
		{SameEnterprise, false, presenter(partner), Admitted},
		{SameEnterprise, false, anonymous, NotOfCompany},
		{Invited, false, colleague, NotInvited},
		{Invited, false, listed(colleague), Admitted},
		{Invited, false, presenter(colleague), Admitted},
		{Invited, false, organizer, Admitted},
		{Invited, false, listed(partner), NotOfCompany},
		{Everyone, false, anonymous, Admitted},
		{Everyone, false, partner, Admitted},
		{Everyone, true, anonymous, IsLocked},
		{SameEnterprise, true, colleague, IsLocked},
		{SameEnterprise, true, presenter(colleague), IsLocked},
		{SameEnterprise, true, organizer, Admitted},
		{Invited, true, listed(colleague), IsLocked},
	} {
		if got := Enter(Terms{Level: c.level, Locked: c.locked}, c.who); got != c.want {
			t.Errorf("level %d, locked %v, %+v: %d, want %d", c.level, c.locked, c.who, got, c.want)
		}
	}
}

func TestPresents(t *testing.T) {
	for _, c := range []struct {
		promote Promotion
		who     Person
		want    bool
	}{
		{PromoteNobody, Person{Organizer: true}, true},
		{PromoteNobody, Person{Presenter: true}, true},
		{PromoteNobody, Person{Listed: true}, false},
		{PromoteNobody, Person{}, false},
		{PromoteCompany, Person{Realm: access.Company}, true},
		{PromoteCompany, Person{Realm: access.Partner}, false},
		{PromoteEveryone, Person{Realm: access.PublicUser}, true},
	} {
		if got := Presents(Terms{Promote: c.promote}, c.who); got != c.want {
			t.Errorf("promotion %d, %+v: %v", c.promote, c.who, got)
		}
	}
}

func TestMay(t *testing.T) {
	for _, a := range []Action{Lock, Modify, Delete, Eject, Promote, Look} {
		for s, want := range map[Standing]bool{Outsider: false, AttendeeStanding: a == Look, PresenterStanding: true, OrganizerStanding: true} {
			if May(a, s) != want {
				t.Errorf("action %d by %d: %v", a, s, !want)
			}
		}
	}
	if May(Look+1, OrganizerStanding) {
		t.Error("an action that does not exist is allowed")
	}
}

func TestMayTo(t *testing.T) {
	for _, c := range []struct {
		action    Action
		who, whom Standing
		want      bool
	}{
		{Eject, PresenterStanding, AttendeeStanding, true},
		{Eject, PresenterStanding, PresenterStanding, true},
		{Eject, PresenterStanding, OrganizerStanding, false},
		{Eject, OrganizerStanding, OrganizerStanding, true}, // another device of one's own
		{Eject, AttendeeStanding, AttendeeStanding, false},
		{Promote, PresenterStanding, AttendeeStanding, true},
		{Promote, PresenterStanding, OrganizerStanding, false},
		{Promote, OrganizerStanding, OrganizerStanding, false},
		{Promote, AttendeeStanding, AttendeeStanding, false},
	} {
		if got := MayTo(c.action, c.who, c.whom); got != c.want {
			t.Errorf("action %d by %d to %d: %v", c.action, c.who, c.whom, got)
		}
	}
}
