// The TLS handshake inside REGISTER ([MS-SIPAE] TLS-DSK) is TLS 1.0 with RSA key
// exchange for the product's clients. Real listeners name their versions and
// cipher suites themselves and take neither.
//
//go:debug tlsunsafeekm=1

// Trivet is the one program of the deployment: a server of any role, and the
// management shell's commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := program{in: os.Stdin, out: os.Stdout, err: os.Stderr, run: standardEdition}.main(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}
