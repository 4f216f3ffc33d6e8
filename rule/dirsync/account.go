package dirsync

import (
	"strconv"
	"strings"
	"time"
)

// Attributes that say whether an account may be used.
const (
	accountControl = "useraccountcontrol"   // [MS-ADA3] 2.342: bit 2 is disabled
	accountExpires = "accountexpires"       // [MS-ADA1] 2.1: 100 ns since 1601, 0 and the largest for never
	accountLock    = "nsaccountlock"        // 389 Directory Server: TRUE is disabled
	lockedTime     = "pwdaccountlockedtime" // OpenLDAP's password policy
)

var accountAttributes = []string{accountControl, accountExpires, accountLock, lockedTime}

// lockedForGood is the pwdAccountLockedTime that an administrator sets; any other
// is a brake on guessing, which must not end the sessions of the user.
const lockedForGood = "000001010000Z"

const never = 1<<63 - 1

// off says whether the account of e may not be used now. An account that is
// locked for a while because of wrong passwords is not disabled: whoever guesses
// could otherwise throw others out.
func (e Entry) off(now time.Time) Reason {
	control, err := strconv.ParseInt(e.first(accountControl), 10, 64)
	switch {
	case err == nil && control&2 != 0, strings.EqualFold(e.first(accountLock), "true"), e.first(lockedTime) == lockedForGood:
		return Disabled
	}
	if t, err := strconv.ParseInt(e.first(accountExpires), 10, 64); err == nil && t > 0 && t != never && !fileTime(t).After(now) {
		return Expired
	}
	return ""
}

// fileTime is a FILETIME, [MS-DTYP] 2.3.3.
func fileTime(t int64) time.Time {
	const epoch = 11644473600 // seconds from 1601 to 1970
	return time.Unix(t/1e7-epoch, t%1e7*100).UTC()
}
