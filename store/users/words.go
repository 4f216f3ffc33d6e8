package users

import (
	"context"
	"database/sql"
	"strings"
	"unicode"

	"trivet/rule/directory"
	"trivet/rule/finder"
)

// wordRules is the version of the rules by which words are made, in this file.
const wordRules = 1

// attributes are the columns of the tables of words by directory.Attribute. The
// last column has marks: properties that a search asks for with yes or no.
var attributes = [...]string{
	directory.FirstName: "first_name", directory.LastName: "last_name", directory.DisplayName: "display_name", directory.Mail: "mail",
	directory.Alias: "alias", directory.SipAddress: "sip", directory.Phone: "phone", directory.Title: "title", directory.Company: "company",
	directory.Department: "department", directory.Office: "office", directory.Place: "place",
}

const (
	markColumns = "first_name, last_name, display_name, mail, alias, sip, phone, title, company, department, office, place, marks"
	homed       = "homed"
)

// wordRow is a row of a table of words, in the order of markColumns.
type wordRow [len(attributes)]string

func (w *wordRow) put(a directory.Attribute, text string) { w[a-1] = text }

// wordsOf are the words by which a user is found; none for a hidden one.
func wordsOf(u *User) (w wordRow, listed bool) {
	if u.HideFromAddressLists {
		return w, false
	}
	w.put(directory.FirstName, wordText(u.FirstName))
	w.put(directory.LastName, wordText(u.LastName))
	w.put(directory.DisplayName, wordText(u.DisplayName))
	w.put(directory.Mail, mailWords(append([]string{u.WindowsEmailAddress}, u.ProxyAddresses...)))
	w.put(directory.Alias, wordText(u.MailNickname+" "+u.SamAccountName))
	w.put(directory.SipAddress, addressWords(u.SipAddress.Bare()))
	w.put(directory.Phone, phoneWords(u.Phone, u.MobilePhone, u.HomePhone, u.OtherPhone, u.IPPhone, u.LineURI))
	w.put(directory.Title, wordText(u.Title))
	w.put(directory.Company, wordText(u.Company))
	w.put(directory.Department, wordText(u.Department))
	w.put(directory.Office, wordText(u.Office))
	w.put(directory.Place, wordText(u.City+" "+u.State+" "+u.Country))
	if u.SipAddress != "" {
		w[len(w)-1] = homed
	}
	return w, true
}

// groupWordsOf are the words by which a group is found.
func groupWordsOf(g *Group) (w wordRow, listed bool) {
	if g.HideFromAddressLists {
		return w, false
	}
	w.put(directory.DisplayName, wordText(g.DisplayName))
	w.put(directory.Mail, addressWords(g.Mail))
	w.put(directory.Alias, wordText(g.MailNickname))
	w.put(directory.SipAddress, addressWords(g.SipAddress.Bare()))
	if g.SipAddress != "" {
		w[len(w)-1] = homed
	}
	return w, true
}

// wordList splits a text into folded words of letters, digits and marks.
func wordList(s string) []string {
	return strings.FieldsFunc(finder.Fold(s), func(r rune) bool { return !inWord(r) })
}

func inWord(r rune) bool {
	if r < 0x80 {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)
}

func wordText(s string) string { return strings.Join(wordList(s), " ") }

// joined is an address as one word: "Al@Example.test" is "alexampletest".
func joined(address string) string { return strings.Join(wordList(address), "") }

// addressWords are the words before the @ and the address as one word. The domain
// alone finds nobody: it is everybody's.
func addressWords(address string) string {
	if address == "" {
		return ""
	}
	local, _, _ := strings.Cut(address, "@")
	return wordText(local) + " " + joined(address)
}

func mailWords(list []string) string {
	var all []string
	for _, s := range list {
		if kind, rest, typed := strings.Cut(s, ":"); !typed {
			all = append(all, addressWords(s))
		} else if strings.EqualFold(kind, "smtp") {
			all = append(all, addressWords(rest))
		}
	}
	return strings.Join(all, " ")
}

// phoneWords are the digits of each number, those of an extension apart.
func phoneWords(list ...string) string {
	var all []string
	for _, s := range list {
		number, params, _ := strings.Cut(s, ";")
		all = append(all, digits(number))
		if _, ext, ok := strings.Cut(params, "ext="); ok {
			all = append(all, digits(ext))
		}
	}
	return strings.Join(strings.Fields(strings.Join(all, " ")), " ")
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// putWords stores the words of a row in place of those it had.
func putWords(ctx context.Context, tx *sql.Tx, table string, id int64, w wordRow, listed bool) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE rowid = ?", id); err != nil || !listed {
		return err
	}
	args := make([]any, 0, len(w)+1)
	args = append(args, id)
	for _, s := range w {
		args = append(args, s)
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (rowid, "+markColumns+") VALUES (?"+strings.Repeat(", ?", len(w))+")", args...)
	return err
}

// indexUser brings the words of a user behind a change; before is nil for a new one.
func indexUser(ctx context.Context, tx *sql.Tx, before, after *User) error {
	w, listed := wordsOf(after)
	if before != nil {
		if was, wasListed := wordsOf(before); was == w && wasListed == listed {
			return nil
		}
	}
	var id int64
	if err := tx.QueryRowContext(ctx, "INSERT INTO word_ids (guid) VALUES (?) ON CONFLICT (guid) DO UPDATE SET guid = guid RETURNING id", after.GUID).Scan(&id); err != nil {
		return err
	}
	return putWords(ctx, tx, "user_words", id, w, listed)
}

// forgetUser drops the words of a user who is about to be deleted.
func forgetUser(ctx context.Context, tx *sql.Tx, guid string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM user_words WHERE rowid = (SELECT id FROM word_ids WHERE guid = ?)", guid)
	return err
}

// indexAll makes all words anew when those in the file follow other rules.
func (s *SQLite) indexAll(ctx context.Context) error {
	const op = "users.indexAll"
	return s.inTx(ctx, op, func(tx *sql.Tx) error {
		var version int
		err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM word_version").Scan(&version)
		if err != nil || version == wordRules {
			return err
		}
		for _, clear := range []string{"DELETE FROM word_ids", "DELETE FROM user_words", "DELETE FROM group_words", "DELETE FROM word_version"} {
			if _, err := tx.ExecContext(ctx, clear); err != nil {
				return err
			}
		}
		if err := indexUsers(ctx, tx); err != nil {
			return err
		}
		groups, err := queryGroups(ctx, tx, selectGroup)
		for i := 0; err == nil && i < len(groups); i++ {
			err = indexGroup(ctx, tx, &groups[i])
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO word_version VALUES (?)", wordRules)
		}
		return err
	})
}

// indexUsers makes the words of all users, in portions.
func indexUsers(ctx context.Context, tx *sql.Tx) error {
	const portion = 1000
	for after := ""; ; {
		list, err := query(ctx, tx, selectUser+" WHERE guid > ? ORDER BY guid LIMIT ?", after, portion)
		for i := 0; err == nil && i < len(list); i++ {
			err = indexUser(ctx, tx, nil, &list[i])
			after = list[i].GUID
		}
		if err != nil || len(list) < portion {
			return err
		}
	}
}
