package durability

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// meeting is a conference that a user has made.
type meeting struct{ Subject, Policy string }

const mostMeetings = 12

// factory makes a request to the user's focus factory.
func (c *client) factory(command string) *sip.Message {
	m := c.service(cccp.Type, []byte(`<request xmlns="urn:ietf:params:xml:ns:cccp" C3PVersion="1" requestId="1">`+command+`</request>`))
	m.RequestURI += ";gruu;opaque=app:conf:focusfactory"
	return m
}

func (m meeting) order(command, id string) string {
	return fmt.Sprintf(`<%s><conference-info entity=""><conference-description><subject>%s</subject><conference-id>%s</conference-id><expiry-time>%s</expiry-time><admission-policy>%s</admission-policy></conference-description></conference-info></%s>`,
		command, m.Subject, id, time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339), m.Policy, command)
}

// meetings are the user's conferences.
func (c *client) meetings(ctx context.Context) (map[string]meeting, error) {
	res, err := c.ask(ctx, c.factory("<getConferences/>"))
	if err != nil {
		return nil, err
	}
	answer, err := cccp.ParseResponse(res.Body)
	if err != nil {
		return nil, err
	}
	all := map[string]meeting{}
	const end = "</conference-info>"
	for doc := range strings.SplitSeq(string(answer.Body), end) {
		if doc == "" {
			continue
		}
		i, err := cccp.ParseInfo([]byte(doc + end))
		if err != nil {
			return nil, err
		}
		all[i.Description.ConferenceID] = meeting{i.Description.Subject, i.Description.AdmissionPolicy}
	}
	return all, nil
}

func (c *client) arrange(command, id string, m *meeting) *change {
	ch := &change{name: command + " " + id, after: c.account.clone()}
	ch.after.Meetings = maps.Clone(c.account.Meetings)
	if m == nil {
		delete(ch.after.Meetings, id)
		ch.req = c.factory(`<deleteConference><conferenceKeys conference-id="` + id + `"/></deleteConference>`)
		return ch
	}
	ch.after.Meetings[id] = *m
	ch.req = c.factory(m.order(command, id))
	return ch
}

// policy is the one drawn for a conference.
func (c *client) policy() string {
	return []string{"openAuthenticated", "closedAuthenticated"}[c.dice.IntN(2)]
}

func (c *client) addMeeting() *change {
	if len(c.account.Meetings) >= mostMeetings {
		return nil
	}
	return c.arrange("addConference", fmt.Sprintf("M%d", c.made), &meeting{fmt.Sprint("Subject ", c.made), c.policy()})
}

func (c *client) modifyMeeting() *change {
	id, ok := pick(c, c.account.Meetings)
	if !ok {
		return nil
	}
	return c.arrange("modifyConference", id, &meeting{fmt.Sprint("Changed ", c.made), c.policy()})
}

func (c *client) deleteMeeting() *change {
	id, ok := pick(c, c.account.Meetings)
	if !ok {
		return nil
	}
	return c.arrange("deleteConference", id, nil)
}
