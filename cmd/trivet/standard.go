package main

import (
	"context"
	"io"
	"log/slog"

	"trivet/fault"
	"trivet/kit/conf"
)

// standardEdition serves every role in this process.
func standardEdition(context.Context, conf.Settings, *slog.Logger, io.Writer) error {
	return fault.New(fault.Unsupported, "trivet.run", "this build carries no server role")
}
