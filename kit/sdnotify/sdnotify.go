// Package sdnotify tells the service manager how the service is doing, sd_notify(3):
// started, stopping, a line for "systemctl status", and, where a watchdog is set, a
// sign of life that stays out when the service does not answer its own probe, so
// that a hung server is started again.
//
// A nil Manager says nothing: the program was not started by a service manager. A
// Manager may be used from any goroutine; messages are datagrams and never wait.
package sdnotify

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager that started this process.
type Manager struct {
	log      *slog.Logger
	watchdog time.Duration // 0 = none
}

// Open finds the service manager in the environment ($NOTIFY_SOCKET,
// $WATCHDOG_USEC, $WATCHDOG_PID) and tells it that the start has begun; nil
// without one.
func Open(log *slog.Logger) *Manager {
	m := &Manager{log: log}
	if there, err := daemon.SdNotify(false, status("starting")); !there && err == nil {
		return nil
	} else if err != nil {
		log.Warn("the service manager does not hear the server", "err", err)
	}
	d, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog of the service manager cannot be kept", "err", err)
	}
	m.watchdog = d
	return m
}

// Status shows a line to who asks for the service's status.
func (m *Manager) Status(text string) { m.say(status(text)) }

// Ready says that the service serves.
func (m *Manager) Ready(text string) { m.say(daemon.SdNotifyReady + "\n" + status(text)) }

// Stopping says that the service ends.
func (m *Manager) Stopping() { m.say(daemon.SdNotifyStopping + "\n" + status("stopping")) }

// status is one line, whatever is in the text: a second one would be a command.
func status(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

func (m *Manager) say(state string) {
	if m == nil {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("the service manager does not hear the server", "err", err)
	}
}

// Watch gives a sign of life at half the time of the watchdog as long as probe
// succeeds, with the status that probe returns, until ctx ends. A probe gets a
// quarter of that time and is repeated soon after it failed: one that fails once
// does no harm, a service that has stopped answering is ended by the manager.
func (m *Manager) Watch(ctx context.Context, probe func(context.Context) (status string, err error)) error {
	if m == nil || m.watchdog <= 0 {
		return nil
	}
	for {
		again := m.watchdog / 2
		if !m.probe(ctx, probe) {
			again = m.watchdog / 16
		}
		next := time.NewTimer(again)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return nil
		}
	}
}

// probe tries once and says what came of it.
func (m *Manager) probe(ctx context.Context, probe func(context.Context) (string, error)) bool {
	limited, cancel := context.WithTimeout(ctx, m.watchdog/4)
	defer cancel()
	text, err := probe(limited)
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		m.log.Error("the server does not answer its own probe; the service manager will end it when this goes on", "err", err)
		m.Status("not healthy: " + err.Error())
		return false
	}
	m.say(daemon.SdNotifyWatchdog + "\n" + status(text))
	return true
}
