package frontend

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/rule/phonenorm"
	"trivet/service/addressbook"
	"trivet/wire/presdoc"
)

// bookSettings tell a client where people are looked for, [MS-SIPREGE] 2.2.2.5.1.
// Without HTTPS there is nothing to tell, and clients search over SIP.
func (s *server) bookSettings() []presdoc.Setting {
	if s.set.HTTPS.Off() {
		return []presdoc.Setting{{Name: "dlxEnabled", Value: "false"}}
	}
	base, expands := s.auth.WebBase(), strconv.FormatBool(s.policies.WebService().EnableGroupExpansion)
	query, files := base+addressbook.QueryPath, base+addressbook.FilesPath
	return []presdoc.Setting{
		{Name: "dlxEnabled", Value: expands}, {Name: "dlxInternalUrl", Value: query}, {Name: "dlxExternalUrl", Value: query},
		{Name: "absInternalServerUrl", Value: files}, {Name: "absExternalServerUrl", Value: files},
	}
}

// bookFiles is CsAddressBookConfiguration as the address book takes it.
func (s *server) bookFiles() addressbook.FileSettings {
	p := s.policies.AddressBook()
	return addressbook.FileSettings{
		RunTimeOfDay: time.Duration(p.RunTimeOfDay) * time.Minute, KeepDuration: p.KeepDuration, SynchronizePollingInterval: p.SynchronizePollingInterval,
		MaxDeltaFileSizePercentage: p.MaxDeltaFileSizePercentage, UseNormalizationRules: p.UseNormalizationRules, IgnoreGenericRules: p.IgnoreGenericRules,
	}
}

// maxRules bounds the file with the company's rules for telephone numbers.
const maxRules = 1 << 20

// phoneRules reads the company's rules for telephone numbers, if there are any, and
// says what is wrong with them.
func (s *server) phoneRules() (phonenorm.Rules, []error) {
	f, err := os.Open(s.path(phonenorm.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unread(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRules))
	if err != nil {
		return nil, unread(err)
	}
	return phonenorm.Parse(string(text))
}

func unread(err error) []error {
	return []error{fault.New(fault.Unavailable, "frontend.phoneRules", "the file cannot be read").Because(err)}
}

// textOf is a fault as a sentence, with its cause.
func textOf(err error) string {
	var f *fault.Error
	if !errors.As(err, &f) || f.Text == "" {
		return err.Error()
	}
	if f.Err != nil {
		return f.Text + " (" + f.Err.Error() + ")"
	}
	return f.Text
}

func (d deployment) AddressBook() cmdlet.AddressBook { return bookMaker{d.book} }

// bookMaker is the address book for cmdlets.
type bookMaker struct{ *addressbook.Service }

func (b bookMaker) Update(ctx context.Context) (cmdlet.BookFiles, error) {
	made, err := b.Service.Update(ctx)
	files := cmdlet.BookFiles{File: made.Name, Contacts: made.Contacts, Bytes: made.Bytes, Deltas: made.Deltas}
	for _, w := range made.Wrong {
		files.Warnings = append(files.Warnings, phonenorm.FileName+": "+textOf(w)+".")
	}
	return files, err
}
