package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"trivet/load"
	"trivet/uc"
)

// soak plays a day of the user model in less, people coming and going all the time,
// and says whether the server's use of the machine stays the same.
func soak(args []string) error {
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	minutes := fs.Float64("minutes", 60, "how long the day lasts")
	people := fs.Int("users", 1000, "how many users")
	report := fs.String("report", "", "JSON file for everything")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "trivet-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := lab{dir: dir}
	l.machine()
	s, t, err := l.startTrivet(*people, true)
	if err != nil {
		return err
	}
	defer s.stop()
	m := load.Lync2013()
	length := time.Duration(*minutes * float64(time.Minute))
	cfg := load.Config{
		Model: m, Server: t.addr, TLS: t.tls, Scheme: load.NTLM, Seed: 1, Speed: (24 * time.Hour).Seconds() / length.Seconds(),
		Session: m.Session, Away: 15 * time.Minute, Stagger: true, Data: filepath.Join(l.dir, "data"), Progress: os.Stdout, MaxErrors: 0.01,
	}
	for i := range *people {
		cfg.People = append(cfg.People, load.Person{SipAddress: uc.UserURI("sip:" + user(i) + "@" + domain), Password: password})
	}
	cfg.Ramp = length / 12 // the model's 120 minutes
	cfg.Length = length - cfg.Ramp
	run, err := load.New(cfg)
	if err != nil {
		return err
	}
	rep, err := run.Play(context.Background())
	if err != nil {
		return err
	}
	rep.Print(os.Stdout)
	if *report != "" {
		if err := rep.WriteFile(*report); err != nil {
			return err
		}
	}
	return verdict(rep)
}

// watched are the values that have to stay the same: by what share of their mean,
// or how much in all, they may rise from the end of the warm-up to the end. The logs
// of the eight routing groups grow to 8 MiB each before a snapshot cuts them, so a
// run that writes less than several times 64 MiB says nothing about the disk.
var watched = []struct {
	name, unit   string
	scale        float64
	share, floor float64
	value        func(load.Sample) float64
}{
	{"resident memory", "MB", 1e6, 0.1, 10e6, func(s load.Sample) float64 { return float64(s.ServerRSS) }},
	{"heap in use", "MB", 1e6, 0.1, 10e6, func(s load.Sample) float64 { return float64(s.Heap) }},
	{"goroutines", "", 1, 0.05, 20, func(s load.Sample) float64 { return float64(s.Goroutines) }},
	{"open descriptors", "", 1, 0.05, 20, func(s load.Sample) float64 { return float64(s.Descriptors) }},
	{"data folder", "MB", 1e6, 0.2, 64e6, func(s load.Sample) float64 { return float64(s.Disk) }},
}

// verdict prints a line for each value after a third of the time.
func verdict(rep *load.Report) error {
	rising := 0
	for _, w := range watched {
		t := load.TrendOf(rep.Samples, rep.Length/3, w.value)
		word := "flat"
		if !t.Flat(w.share, w.floor) {
			word = "not flat"
			rising++
		}
		fmt.Printf("soak %-18s %-8s mean %.1f %s, rises by %.1f in %.0f min\n", w.name, word, t.Mean/w.scale, w.unit, t.Rise/w.scale, rep.Length/60*2/3)
	}
	switch {
	case rep.Failed:
		return fmt.Errorf("soak: the run has failed: %v", rep.Why)
	case rising > 0:
		return fmt.Errorf("soak: %d of %d values are not flat", rising, len(watched))
	}
	return nil
}
