// Package reindex is a client of nbdb_reindexd(8) of Postfix 3.11 and later,
// which makes an indexed file of today's type from one of Berkeley DB
// (non_bdb_migration_level = enable-reindex).
//
// # Protocol
//
// The server greets with its protocol's name; the client sends type and path
// of the old table; the server answers with a status, 0 for success, and a
// reason. One request for each connection.
//
// # Failure policy
//
// A request that fails is made once more, after a second, as Postfix does. The
// error of the last one is returned.
package reindex

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"postlmtp/internal/attr"
)

// Protocol is the name that the server greets with.
const Protocol = "nbdb_reindex"

const (
	tries   = 2
	pause   = time.Second
	timeout = 30 * time.Second // for one attempt
)

// A Client knows where the service is.
type Client struct {
	QueueDirectory string // queue_directory
	Service        string // non_bdb_migration_service_name
}

// Do asks for a new file in place of the table type:name.
func (c *Client) Do(ctx context.Context, kind, name string) error {
	path := filepath.Join("private", c.Service)
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(c.QueueDirectory, path)
	}
	for n := 1; ; n++ {
		err := ask(ctx, path, kind, name)
		if err == nil || n == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func ask(ctx context.Context, path, kind, name string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("connection to %s service: %w", path, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	r := attr.NewReader(conn, attr.DefaultLimits())
	if p := r.String(attr.Protocol); r.End() != nil || p != Protocol {
		return fmt.Errorf("error receiving %s service initial response", path)
	}
	if err := new(attr.List).String("nbdb_type", kind).String("nbdb_path", name).Send(conn); err != nil {
		return fmt.Errorf("error sending request to %s service: %w", path, err)
	}
	status, reason := r.Int(attr.Status), r.String("reason")
	if err := r.End(); err != nil {
		return fmt.Errorf("error receiving response from %s service: %w", path, err)
	}
	if status != 0 {
		return errors.New(reason)
	}
	return nil
}
