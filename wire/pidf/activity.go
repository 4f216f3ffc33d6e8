package pidf

// activities are the words of RFC 4480 3.2, of RPID drafts, of XPIDF and those we
// write into <other>, with what they mean as presence. When several are given the
// one furthest down counts. Words that say nothing about reaching somebody are
// not here.
var activities = [...]struct {
	word   string
	number int
	token  string
}{
	{"spectator", 6500, ""},
	{"steering", 6500, ""},
	{"inuse", 6500, ""},
	{"busy", 6500, ""},
	{"appointment", 6500, "in-a-meeting"},
	{"meeting", 6500, "in-a-meeting"},
	{"in-a-conference", 7000, "in-a-conference"},
	{"onthephone", 6500, "on-the-phone"},
	{"on-the-phone", 6500, "on-the-phone"},
	{"urgent-interruptions-only", 6900, "urgent-interruptions-only"},
	{"presentation", 9000, "in-presentation"},
	{"performance", 9500, ""},
	{"worship", 9500, ""},
	{"dnd", 9500, ""},
	{"do-not-disturb", 9500, ""},
	{"away", 15500, ""},
	{"in-transit", 15500, ""},
	{"shopping", 15500, ""},
	{"sleeping", 15500, ""},
	{"travel", 15500, ""},
	{"breakfast", 15500, "out-to-lunch"},
	{"lunch", 15500, "out-to-lunch"},
	{"dinner", 15500, "out-to-lunch"},
	{"meal", 15500, "out-to-lunch"},
	{"outtolunch", 15500, "out-to-lunch"},
	{"permanent-absence", 15500, "off-work"},
	{"off-work", 15500, "off-work"},
	{"holiday", 15500, "out-of-office"},
	{"vacation", 15500, "out-of-office"},
	{"berightback", 12500, ""},
	{"be-right-back", 12500, ""},
}

// classes are the ranges of availability, each up to the next: the word every
// client knows and the <other> that says it exactly.
var classes = [...]struct {
	from  int
	word  string
	other string
	idle  bool
}{
	{fromOffline, "", "", false},
	{fromAway, "away", "", false},
	{fromBeRightBack, "away", "be-right-back", false},
	{fromDoNotDisturb, "busy", "do-not-disturb", false},
	{fromBusyInactive, "busy", "", true},
	{fromBusy, "busy", "", false},
	{fromInactive, "", "", true},
	{fromAvailable, "", "", false},
	{0, "", "", false},
}

// tokens are the activities we write, in a class that begins at from: as an
// element of RPID, or as <other> where it has none.
var tokens = [...]struct {
	token string
	from  int
	to    int
	word  string
}{
	{"on-the-phone", fromBusy, fromDoNotDisturb, "on-the-phone"},
	{"in-a-meeting", fromBusy, fromDoNotDisturb, "meeting"},
	{"in-a-conference", fromBusy, fromDoNotDisturb, ""},
	{"urgent-interruptions-only", fromBusy, fromDoNotDisturb, ""},
	{"in-presentation", fromDoNotDisturb, fromBeRightBack, "presentation"},
	{"out-to-lunch", fromAway, fromOffline, "meal"},
	{"off-work", fromAway, fromOffline, ""},
	{"out-of-office", fromAway, fromOffline, "vacation"},
}
