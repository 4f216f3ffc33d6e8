package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"trivet/fault"
	"trivet/link/httpd"
	"trivet/uc"
)

// UsersFile is where the users made for a load test are kept in the data folder,
// as a list of Persons.
const UsersFile = "load-users.json"

// Invent names so many people of a domain and gives them passwords. Those that the
// file at path has already keep theirs, so that it can grow. The file is on disk,
// for its owner only, before anybody is created.
func Invent(path, domain string, n int) ([]Person, error) {
	const op = "load.Invent"
	var list []Person
	if _, err := os.Stat(path); err == nil {
		if list, err = ReadPeople(path); err != nil {
			return nil, err
		}
	}
	for i := len(list); i < n; i++ {
		a := uc.UserURI(fmt.Sprintf("sip:load%05d@%s", i, domain))
		list = append(list, Person{a, a.Bare(), "Aa1-" + strings.ToLower(rand.Text()[:16])})
	}
	text, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return nil, fault.Newf(fault.Unavailable, op, "the users' file %s cannot be written", path).Because(err)
	}
	return list, fault.Wrap(op, os.Rename(path+".new", path))
}

// makers is how many users are created at a time through the management API.
const makers = 4

// MakeUsers creates people on a running server through its management socket, with
// the password hashes of every way to sign in: about a tenth of a second each. Who
// exists is passed over. It returns how many were created.
func MakeUsers(ctx context.Context, data string, list []Person) (made int, err error) {
	const op = "load.MakeUsers"
	path, err := httpd.SocketPath(filepath.Join(data, "admin.sock"))
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex // guards made, err
	var wg sync.WaitGroup
	next := make(chan Person)
	for range makers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for p := range next {
				created, e := makeUser(ctx, client, p)
				mu.Lock()
				if created {
					made++
				}
				if err == nil {
					err = e
				}
				mu.Unlock()
			}
		}()
	}
	for _, p := range list {
		mu.Lock()
		failed := err != nil
		mu.Unlock()
		if failed || ctx.Err() != nil {
			break
		}
		next <- p
	}
	close(next)
	wg.Wait()
	return made, fault.Wrap(op, err)
}

func makeUser(ctx context.Context, client *http.Client, p Person) (created bool, err error) {
	const op = "load.makeUser"
	body, err := json.Marshal(map[string]any{"Parameters": map[string]any{"Identity": p.SipAddress.User(), "SipAddress": p.SipAddress, "Password": p.Password}})
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://local/api/cmdlet/New-CsUser", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return false, fault.New(fault.Unavailable, op, "no server runs in the data folder").Because(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	switch {
	case err != nil:
		return false, err
	case res.StatusCode == http.StatusOK:
		return true, nil
	case res.StatusCode == http.StatusConflict:
		return false, nil
	}
	return false, fault.Newf(fault.Unavailable, op, "%s could not be created: %d %s", p.SipAddress, res.StatusCode, text)
}
