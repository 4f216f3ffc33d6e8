package conference

import "trivet/link/siptrans"

// tiesKey marks a connection whose end the service follows. There is one callback per
// connection, which knows no seat: what has left is not kept by it.
type tiesKey struct{ s *Service }

// followed reports whether a seat ends with its connection. The end of a UDP address
// means nothing, and that of the connection to another server nothing for the devices
// behind it, whose registrations are followed.
func (x *seat) followed() bool {
	return x.conn != nil && x.conn.Stream() && x.conn.Peer() == ""
}

// tie follows the connection of a seat: once it is lost the device has a time of
// grace to come back. s.mu is held.
func (s *Service) tie(x *seat) {
	if !x.followed() {
		return
	}
	c := x.conn
	if s.ties[c] == nil {
		s.ties[c] = map[*seat]struct{}{}
	}
	s.ties[c][x] = struct{}{}
	if c.Value(tiesKey{s}) == nil {
		c.SetValue(tiesKey{s}, true)
		c.OnClose(func() { s.ended(c) })
		return
	}
	if c.Closed() { // its callback may have come too early for this seat
		s.ended(c)
	}
}

// untie ends that. s.mu is held.
func (s *Service) untie(x *seat) {
	if !x.followed() {
		return
	}
	of := s.ties[x.conn]
	if delete(of, x); len(of) == 0 {
		delete(s.ties, x.conn)
	}
}

// ended lets the time of grace of a lost connection begin.
func (s *Service) ended(c *siptrans.Conn) {
	s.cfg.Clock.AfterFunc(s.cfg.Grace, func() {
		s.mu.Lock()
		seats := make([]*seat, 0, len(s.ties[c]))
		for x := range s.ties[c] {
			seats = append(seats, x)
		}
		s.mu.Unlock()
		for _, x := range seats {
			x.f.lost(x)
		}
	})
}

// lost ends a seat whose connection has not come back.
func (f *focus) lost(x *seat) {
	f.do(func() {
		if x.gone || !x.conn.Closed() {
			return
		}
		if c, route := x.way(); c != nil && x.control == nil {
			if route == "" {
				f.s.move(x, c)
			}
			return
		}
		f.leave(x, "")
		f.settle()
	})
}

// move has a seat follow another connection.
func (s *Service) move(x *seat, c *siptrans.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untie(x)
	x.conn = c
	s.tie(x)
}
