package diagnose

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"trivet/link/sipclient"
)

// given takes the server that was named.
func (w *walk) given(context.Context) Finding {
	if _, err := strconv.ParseUint(w.port, 10, 16); w.host == "" || err != nil {
		return bad(fmt.Sprintf("%q is no host or host:port", w.Server), "Name the server like sip.example.test or sip.example.test:5061.")
	}
	return good("%s", net.JoinHostPort(w.host, w.port))
}

// find finds the server of a user as a Lync-capable client does: two SRV records,
// then three names.
func (w *walk) find(ctx context.Context) Finding {
	if w.typed {
		return w.given(ctx)
	}
	var tried []string
	for _, service := range [][2]string{{"sipinternaltls", "tcp"}, {"sip", "tls"}} {
		record := "_" + service[0] + "._" + service[1] + "." + w.Domain
		list, err := w.records(ctx, service, &tried, record)
		if err != nil {
			return w.mute(record, err)
		}
		if len(list) > 0 {
			w.host, w.port, w.from = strings.TrimSuffix(list[0].Target, "."), strconv.Itoa(int(list[0].Port)), record
			return w.under("SRV record " + record + " names " + net.JoinHostPort(w.host, w.port))
		}
	}
	for _, label := range []string{"sipinternal", "sip", "sipexternal"} {
		name := label + "." + w.Domain
		if ips, err := w.addresses(ctx, name); err == nil && len(ips) > 0 {
			w.host, w.port, w.from = name, sipPort, name
			return good("no SRV record; %s resolves, port %s", name, sipPort)
		} else if !absent(err) {
			return w.mute(name, err)
		}
		tried = append(tried, name)
	}
	return bad("DNS knows none of "+strings.Join(tried, ", "),
		fmt.Sprintf("Make the records \"_sipinternaltls._tcp.%[1]s SRV 0 0 5061 sip.%[1]s\" and \"sip.%[1]s A ADDRESS\", or name the server in the client.", w.Domain))
}

// records looks an SRV record up and notes it where it is absent.
func (w *walk) records(ctx context.Context, service [2]string, tried *[]string, record string) ([]*net.SRV, error) {
	ctx, cancel := w.limited(ctx)
	defer cancel()
	_, list, err := w.Lookup.LookupSRV(ctx, service[0], service[1], w.Domain)
	if len(list) == 0 && (err == nil || absent(err)) {
		*tried = append(*tried, record)
		return nil, nil
	}
	return list, err
}

// under minds servers whose name is not below the domain: clients ask the person
// whether that is right, and some do not go there.
func (w *walk) under(evidence string) Finding {
	if h, d := strings.ToLower(w.host), strings.ToLower(w.Domain); h != d && !strings.HasSuffix(h, "."+d) {
		return doubt(evidence+", which is not below "+w.Domain, "Have the record name a host below "+w.Domain+", and its certificate too; clients do not trust another domain by themselves.")
	}
	return good("%s", evidence)
}

// absent tells a name that does not exist from a name server that does not answer.
func absent(err error) bool {
	var d *net.DNSError
	return errors.As(err, &d) && d.IsNotFound
}

func (w *walk) mute(name string, err error) Finding {
	return bad(fmt.Sprintf("the name server does not answer for %s (%v)", name, err), "See that this machine reaches its name server (/etc/resolv.conf), and that it serves "+w.Domain+".")
}

func (w *walk) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := w.limited(ctx)
	defer cancel()
	return w.Lookup.LookupNetIP(ctx, "ip", host)
}

func (w *walk) resolve(ctx context.Context) Finding {
	var err error
	w.ips, err = w.addresses(ctx, w.host)
	switch {
	case absent(err) || err == nil && len(w.ips) == 0:
		return bad("DNS has no address for "+w.host, "Make the record \""+w.host+" A ADDRESS\", or put \"ADDRESS "+w.host+"\" into the hosts file of the client's machine.")
	case err != nil:
		return w.mute(w.host, err)
	}
	for i, ip := range w.ips {
		w.ips[i] = ip.Unmap()
	}
	return good("%s is %s", w.host, join(w.ips))
}

func join[T fmt.Stringer](list []T) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = x.String()
	}
	return strings.Join(parts, ", ")
}

func (w *walk) connect(ctx context.Context) Finding {
	var tried []string
	var last error
	for _, ip := range w.ips {
		at := net.JoinHostPort(ip.String(), w.port)
		c, err := w.dial(ctx, at)
		if err == nil {
			c.Close()
			w.at = at
			if tried != nil {
				return doubt(strings.Join(tried, "; ")+"; "+at+" takes connections", "Some clients take the first address and give up: remove addresses from DNS where no server is.")
			}
			return good("%s takes connections", at)
		}
		tried, last = append(tried, at+": "+plainly(err)), err
	}
	mend := "See that the server runs (systemctl status trivet), and that it listens on this address and port: the settings listen and sip.tls."
	if timedOut(last) {
		mend = "Nobody answers at all: the address is wrong, the machine is off, or a firewall drops port " + w.port + "; open TCP port " + w.port + " on the way."
	}
	return bad(strings.Join(tried, "; "), mend)
}

func (w *walk) dial(ctx context.Context, at string) (net.Conn, error) {
	ctx, cancel := w.limited(ctx)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, "tcp", at)
}

func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
}

// plainly is the innermost text of a network error.
func plainly(err error) string {
	var o *net.OpError
	if errors.As(err, &o) && o.Err != nil {
		err = o.Err
	}
	if timedOut(err) {
		return "no answer"
	}
	var s *os.SyscallError
	if errors.As(err, &s) {
		err = s.Err
	}
	return err.Error()
}

// secure shakes hands and keeps what the server showed. The certificate is judged
// by checks of their own.
func (w *walk) secure(ctx context.Context) Finding {
	conn, err := w.dial(ctx, w.at)
	if err != nil {
		return bad(w.at+": "+plainly(err), "The port answered a moment ago: see the server's log.")
	}
	defer conn.Close()
	limited, cancel := w.limited(ctx)
	defer cancel()
	c := tls.Client(conn, w.anybody())
	if err := c.HandshakeContext(limited); err != nil {
		return w.insecure(ctx, err)
	}
	w.tls = c.ConnectionState()
	return good("%s with %s", tls.VersionName(w.tls.Version), tls.CipherSuiteName(w.tls.CipherSuite))
}

// anybody takes every certificate: to look at it, and to go on when it is not good.
func (w *walk) anybody() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: w.host, MinVersion: tls.VersionTLS12}
}

// insecure says what is there instead of TLS.
func (w *walk) insecure(ctx context.Context, err error) Finding {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case w.speaksPlain(ctx):
		return bad(w.at+" speaks SIP without TLS", "This is the port of sip.tcp: give the client, and the SRV record, that of sip.tls (5061), or let the client use TCP.")
	case errors.As(err, &record):
		return bad(w.at+" does not speak TLS", "Another service has this port: give the client, and the SRV record, the port of sip.tls (5061).")
	case errors.As(err, &alert):
		return bad("the server refuses the handshake ("+err.Error()+")", "TLS 1.2 or later is needed on both sides; see what is between client and server.")
	case timedOut(err):
		return bad(w.at+" takes the connection and does not answer TLS", "The service there speaks another protocol, or hangs: see the port, and the server's log.")
	}
	return bad("no TLS with "+w.at+" ("+plainly(err)+")", "Something closes the connection: a proxy or firewall on the way, or a server that is full (its log says so).")
}

func (w *walk) speaksPlain(ctx context.Context) bool {
	ctx, cancel := w.limited(ctx)
	defer cancel()
	c, err := sipclient.Dial(ctx, sipclient.Config{Addr: w.at, User: w.asker()})
	if err != nil {
		return false
	}
	defer c.Close()
	_, err = c.Do(ctx, c.Request("OPTIONS", w.asker()))
	return err == nil
}
