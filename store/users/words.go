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
const wordRules = 2

// attributes are the columns of group_words by directory.Attribute.
var attributes = [...]string{
	directory.DisplayName: "display_name", directory.Mail: "mail", directory.Alias: "alias", directory.SipAddress: "sip",
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

// indexGroup brings the words of a stored group, none of a hidden one, behind it.
func indexGroup(ctx context.Context, tx *sql.Tx, g *Group) error {
	var id int64
	if err := tx.QueryRowContext(ctx, "SELECT id FROM groups WHERE guid = ?", g.GUID).Scan(&id); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM group_words WHERE rowid = ?", id); err != nil || g.HideFromAddressLists {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO group_words (rowid, display_name, mail, alias, sip) VALUES (?, ?, ?, ?, ?)",
		id, wordText(g.DisplayName), addressWords(g.Mail), wordText(g.MailNickname), addressWords(g.SipAddress.Bare()))
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
		return indexGroups(ctx, tx)
	})
}

// indexGroups makes the words of all groups anew.
func indexGroups(ctx context.Context, tx *sql.Tx) error {
	for _, clear := range []string{"DELETE FROM group_words", "DELETE FROM word_version"} {
		if _, err := tx.ExecContext(ctx, clear); err != nil {
			return err
		}
	}
	groups, err := queryGroups(ctx, tx, selectGroup)
	for i := 0; err == nil && i < len(groups); i++ {
		err = indexGroup(ctx, tx, &groups[i])
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, "INSERT INTO word_version VALUES (?)", wordRules)
	}
	return err
}
