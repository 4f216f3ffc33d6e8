package conf

import (
	"net"
	"strconv"
	"strings"

	"trivet/fault"
)

// Address says where a listener listens. As written: "off", a port ("5061" or
// ":5061", on the address of the setting listen), or "host:port" with an IP
// address. In settings that Load returned: "host:port", or "" for off. Port 0
// takes any free port.
type Address string

// Off reports whether there is to be no listener.
func (a Address) Off() bool { return a == "" || strings.EqualFold(string(a), "off") }

// String returns the address, "off" for none.
func (a Address) String() string {
	if a.Off() {
		return "off"
	}
	return string(a)
}

// on completes a with the host of listen.
func (a Address) on(listen string) Address {
	if a.Off() {
		return ""
	}
	host, port, err := net.SplitHostPort(string(a))
	if err != nil { // a port alone
		host, port = "", string(a)
	}
	if host == "" {
		host = listen
	}
	return Address(net.JoinHostPort(host, port))
}

func parseAddress(s string) (Address, error) {
	if s == "" || strings.EqualFold(s, "off") {
		return Address(strings.ToLower(s)), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = "", s
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 || host != "" && net.ParseIP(host) == nil {
		return "", fault.Newf(fault.Invalid, "conf.Load", "needs a port, IP-address:port or off, not %q", s)
	}
	return Address(s), nil
}
