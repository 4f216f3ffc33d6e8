package sippeer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"strconv"
	"sync/atomic"
	"time"

	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/sip"
)

// link is the way to one server.
type link struct {
	peers  *Peers
	server uc.ServerFQDN
	conn   atomic.Pointer[siptrans.Conn]
}

// keep has a connection for as long as the service runs.
func (l *link) keep(ctx context.Context) error {
	cfg := &l.peers.cfg
	for pause := cfg.Backoff; ctx.Err() == nil; {
		c, err := l.dial(ctx)
		if err == nil {
			pause = cfg.Backoff
			cfg.Log.Info("connected", "server", l.server)
			l.conn.Store(c)
			l.watch(ctx, c)
			l.conn.Store(nil)
			if ctx.Err() == nil {
				cfg.Log.Warn("the connection to a server is lost", "server", l.server, "reason", c.Reason())
			}
		} else {
			cfg.Log.Debug("a server is not reached", "server", l.server, "err", err)
		}
		if !l.wait(ctx, pause) {
			return nil
		}
		pause = min(2*pause, cfg.MostPause)
	}
	return nil
}

func (l *link) wait(ctx context.Context, d time.Duration) bool {
	due := make(chan struct{})
	timer := l.peers.cfg.Clock.AfterFunc(d, func() { close(due) })
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-due:
		return true
	}
}

func (l *link) dial(ctx context.Context) (*siptrans.Conn, error) {
	cfg := &l.peers.cfg
	ctx, cancel := context.WithTimeout(ctx, cfg.Dialling)
	defer cancel()
	conf := &tls.Config{}
	if cfg.TLS != nil {
		conf = cfg.TLS.Clone()
	}
	conf.ServerName = string(l.server)
	c, err := cfg.Link.Dial(ctx, "tls", l.peers.address(l.server), conf)
	if err != nil {
		return nil, err
	}
	c.SetPeer(string(l.server))
	return c, nil
}

// watch asks the other side from time to time whether it lives, until the connection
// has ended. A cut cable does not end a connection by itself.
func (l *link) watch(ctx context.Context, c *siptrans.Conn) {
	cfg := &l.peers.cfg
	ended, answered := make(chan struct{}), make(chan struct{}, 1)
	c.OnClose(func() { close(ended) })
	tick := cfg.Clock.NewTicker(cfg.KeepAlive)
	defer tick.Stop()
	asked, waiting := cfg.Clock.Now(), false
	for seq := 1; ; {
		select {
		case <-ctx.Done():
			c.Close("the server is stopping")
			return
		case <-ended:
			return
		case <-answered:
			waiting = false
		case <-tick.C():
			switch now := cfg.Clock.Now(); {
			case !waiting:
				asked, waiting = now, true
				cfg.Link.Request(c, l.question(seq), func(*sip.Message, error) {
					select {
					case answered <- struct{}{}:
					default:
					}
				})
				seq++
			case now.Sub(asked) >= cfg.Patience:
				c.Close("the other server does not answer")
				return
			}
		}
	}
}

// question is an OPTIONS, which every server answers.
func (l *link) question(seq int) *sip.Message {
	from := string(l.peers.cfg.Server)
	m := sip.NewRequest("OPTIONS", "sip:"+string(l.server)+";transport=tls")
	m.Add("Max-Forwards", "0")
	m.Add("From", "<sip:"+from+">;tag="+rand.Text()[:10])
	m.Add("To", "<sip:"+string(l.server)+">")
	m.Add("Call-ID", rand.Text())
	m.Add("CSeq", strconv.Itoa(seq)+" OPTIONS")
	return m
}
