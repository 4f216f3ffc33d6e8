package client

import (
	"context"
	"io"
	"net/http"

	"trivet/fault"
)

// Backup has the server of a data folder write a backup to w. Only the owner's
// socket is asked. Errors: ErrNotReached when no server answers there; else what the
// server says, fault.Exists when it makes another backup already. An archive that
// ended early is found by reading it.
func Backup(ctx context.Context, data string, w io.Writer) error {
	const op = "client.Backup"
	c, err := dial(Target{Data: data})
	if err != nil {
		return err
	}
	defer c.client.CloseIdleConnections()
	c.client.Timeout = 0 // a large folder takes its time
	req, err := http.NewRequestWithContext(ctx, "POST", c.base+"/backup", nil)
	if err != nil {
		return fault.Wrap(op, err)
	}
	res, err := c.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fault.New(fault.Timeout, op, "the backup was ended; no file was written").Because(err)
		}
		return c.unreached(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		return fault.New(fault.Unsupported, op, "the server that runs is of an older release and makes no backups; restart it")
	}
	if res.StatusCode != http.StatusOK {
		b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil {
			return c.unreached(err)
		}
		return c.problem(res, b)
	}
	if _, err := io.Copy(disk{w}, res.Body); err != nil {
		if fault.Is(err, fault.Unavailable) {
			return err
		}
		return fault.New(fault.Unavailable, op, "the server ended the backup before it was whole; its log says why").Because(err)
	}
	return nil
}

// disk tells failures of writing from those of the server.
type disk struct{ io.Writer }

func (d disk) Write(b []byte) (int, error) {
	n, err := d.Writer.Write(b)
	if err != nil {
		err = fault.Newf(fault.Unavailable, "client.Backup", "the backup cannot be written (%v)", err).Because(err)
	}
	return n, err
}
