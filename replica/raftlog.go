package replica

import (
	"context"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
)

// raftLog writes what the core has to say: its news at debug level, since the
// host reports what matters itself.
type raftLog struct{ log *slog.Logger }

var _ raft.Logger = raftLog{}

func (l raftLog) say(level slog.Level, format string, v []any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	if format == "" {
		l.log.Log(context.Background(), level, fmt.Sprint(v...))
		return
	}
	l.log.Log(context.Background(), level, fmt.Sprintf(format, v...))
}

func (l raftLog) Debug(v ...any)              { l.say(slog.LevelDebug, "", v) }
func (l raftLog) Debugf(f string, v ...any)   { l.say(slog.LevelDebug, f, v) }
func (l raftLog) Info(v ...any)               { l.say(slog.LevelDebug, "", v) }
func (l raftLog) Infof(f string, v ...any)    { l.say(slog.LevelDebug, f, v) }
func (l raftLog) Warning(v ...any)            { l.say(slog.LevelDebug, "", v) }
func (l raftLog) Warningf(f string, v ...any) { l.say(slog.LevelDebug, f, v) }
func (l raftLog) Error(v ...any)              { l.say(slog.LevelWarn, "", v) }
func (l raftLog) Errorf(f string, v ...any)   { l.say(slog.LevelWarn, f, v) }

// Fatal and Panic mean a broken log: they end the host, not the process.
func (l raftLog) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (l raftLog) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (l raftLog) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (l raftLog) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
