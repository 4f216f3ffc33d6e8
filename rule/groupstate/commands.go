package groupstate

import (
	"encoding/binary"

	"trivet/fault"
)

// Command is one change of the state. Its exported fields are the whole of what
// it depends on beside the state: whoever proposes it puts time, random ids and
// limits in. Times are Unix milliseconds.
type Command interface {
	number() uint16
	fields(*codec)
	apply(*turn) (any, error)
}

// Numbers of the commands. They are in the logs of every server: append only,
// never reuse, never change the meaning of one.
const (
	numEnableUser     = 1
	numDisableUser    = 2
	numRemoveUser     = 3
	numBind           = 4
	numUnbind         = 5
	numDetach         = 6
	numRestarted      = 7
	numSweep          = 8
	numPublish        = 9
	numSetContainers  = 10
	numAddPrompt      = 11
	numSetSubscribers = 12
	numSetContact     = 13
	numDeleteContact  = 14
	numAddGroup       = 15
	numModifyGroup    = 16
	numDeleteGroup    = 17
	numSubscribe      = 18
	numUnsubscribe    = 19
	numRenameUser     = 20

	numAddConference      = 21
	numModifyConference   = 22
	numSetConferenceRole  = 23
	numActivateConference = 24
	numDeleteConference   = 25

	numImportUser = 26
)

// commands is the table of all commands, index = number.
var commands = [...]func() Command{
	numEnableUser:     func() Command { return new(EnableUser) },
	numDisableUser:    func() Command { return new(DisableUser) },
	numRemoveUser:     func() Command { return new(RemoveUser) },
	numBind:           func() Command { return new(Bind) },
	numUnbind:         func() Command { return new(Unbind) },
	numDetach:         func() Command { return new(Detach) },
	numRestarted:      func() Command { return new(Restarted) },
	numSweep:          func() Command { return new(Sweep) },
	numPublish:        func() Command { return new(Publish) },
	numSetContainers:  func() Command { return new(SetContainers) },
	numAddPrompt:      func() Command { return new(AddPrompt) },
	numSetSubscribers: func() Command { return new(SetSubscribers) },
	numSetContact:     func() Command { return new(SetContact) },
	numDeleteContact:  func() Command { return new(DeleteContact) },
	numAddGroup:       func() Command { return new(AddGroup) },
	numModifyGroup:    func() Command { return new(ModifyGroup) },
	numDeleteGroup:    func() Command { return new(DeleteGroup) },
	numSubscribe:      func() Command { return new(Subscribe) },
	numUnsubscribe:    func() Command { return new(Unsubscribe) },
	numRenameUser:     func() Command { return new(RenameUser) },

	numAddConference:      func() Command { return new(AddConference) },
	numModifyConference:   func() Command { return new(ModifyConference) },
	numSetConferenceRole:  func() Command { return new(SetConferenceRole) },
	numActivateConference: func() Command { return new(ActivateConference) },
	numDeleteConference:   func() Command { return new(DeleteConference) },

	numImportUser: func() Command { return new(ImportUser) },
}

// commandVersion is the version of the field lists that this program writes.
// A field added later is walked only when codec.version is high enough.
const commandVersion = 1

// maxCommand bounds one encoded command, bytes.
const maxCommand = 1 << 20

// Encode writes cmd as it goes into the log: number, version, fields.
func Encode(cmd Command) []byte {
	c := codec{version: commandVersion, buf: make([]byte, 0, 256)}
	c.buf = binary.AppendUvarint(c.buf, uint64(cmd.number()))
	c.buf = append(c.buf, commandVersion)
	cmd.fields(&c)
	return c.buf
}

// Decode reads what Encode wrote. A number or version of a newer program is
// fault.Unsupported, anything else that does not fit fault.Invalid.
func Decode(b []byte) (Command, error) {
	if len(b) > maxCommand {
		return nil, fault.New(fault.Limit, opDecode, "the command is larger than 1 MiB; send it in parts")
	}
	num, n := binary.Uvarint(b)
	if n <= 0 || n == len(b) {
		return nil, fault.New(fault.Invalid, opDecode, "the command is cut off before its fields")
	}
	if num >= uint64(len(commands)) || commands[num] == nil {
		return nil, fault.Newf(fault.Unsupported, opDecode, "command number %d is not known to this version", num)
	}
	c := codec{reading: true, version: b[n], buf: b[n+1:]}
	if c.version == 0 || c.version > commandVersion {
		return nil, fault.Newf(fault.Unsupported, opDecode, "version %d of command %d is not known to this version", c.version, num)
	}
	cmd := commands[num]()
	cmd.fields(&c)
	c.end()
	if c.err != nil {
		return nil, c.err
	}
	return cmd, nil
}
