package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// flushes is how often the disk of the lab's folder has made what it was given
// durable since the machine was started: every fsync that reaches it, of all
// processes. It is the 16th figure of the disk in /proc/diskstats (Linux 5.5 and
// newer); 0 where there is none.
func (l lab) flushes() int64 {
	var st syscall.Stat_t
	if syscall.Stat(l.dir, &st) != nil {
		return 0
	}
	dev := fmt.Sprintf("%d %d", (st.Dev>>8)&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00)
	b, _ := os.ReadFile("/proc/diskstats")
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if f := strings.Fields(string(line)); len(f) > 18 && f[0]+" "+f[1] == dev {
			n, _ := strconv.ParseInt(f[18], 10, 64)
			return n
		}
	}
	return 0
}
