package agent

import (
	"context"
	"crypto/sha1" //nolint:gosec // Postfix's format
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postlmtp/internal/attr"
	"postlmtp/internal/delivery"
	"postlmtp/internal/dsn"
	"postlmtp/internal/ipc"
	"postlmtp/internal/maillog"
	"postlmtp/internal/sasl"
	"postlmtp/internal/table"
)

// refusedLogins is the table of lmtp_sasl_auth_cache_name: logins that a server
// has refused with 535, kept so that they are not tried again before
// lmtp_sasl_auth_cache_time has passed or the password has changed. It is
// maintained by proxymap(8), for all processes, in Postfix's format: the key is
// "host;user", the value "seconds;base64(SHA1(password));status;text".
type refusedLogins struct {
	client    *ipc.Client
	name      string // as configured
	ttl       time.Duration
	instances bool         // the proxymap(8) is that of Postfix 3.11 or later
	flags     atomic.Int64 // with which that has the table open; 0: not asked so far
	log       *maillog.Logger
}

// proxymapProtocol is what proxymap(8) of Postfix 3.6 and later greets with.
const proxymapProtocol = "proxymap_protocol"

// The flags with which Postfix opens the table (wire.md 7.3).
const refusedFlags = 1<<7 | 1<<8 | int(table.UTF8) // dup_replace, sync_update

// The statuses of proxymap(8).
const (
	proxyOK    = 0
	proxyNoKey = 1
)

func (s *settings) openRefused(log *maillog.Logger) (*refusedLogins, error) {
	name := s.LMTP.SASLAuthCacheName
	if strings.ContainsAny(name, ", \t\r\n") {
		return nil, fmt.Errorf("SASL authentication cache name \"%s\" contains multiple values", name)
	}
	if !strings.HasPrefix(name, "proxy:") {
		//lint:ignore ST1005 Postfix's words
		return nil, fmt.Errorf("SASL authentication cache name \"%s\" must start with \"proxy:", name)
	}
	return &refusedLogins{
		client: ipc.NewClient(
			ipc.Service{Class: "private", Name: s.ProxywriteServiceName, Protocol: proxymapProtocol},
			ipc.Settings{Timeout: s.IPCTimeout, Idle: s.IPCIdle, TTL: s.IPCTTL}),
		name:      name,
		ttl:       s.LMTP.SASLAuthCacheTime,
		instances: s.release.AtLeast(3, 11),
		log:       log,
	}, nil
}

// Find implements delivery.RefusedLogins.
func (r *refusedLogins) Find(ctx context.Context, host string, login sasl.Login) (delivery.Refusal, bool) {
	key := host + ";" + login.Username
	var value string
	status, err := r.ask(ctx, "lookup", &value, "key", key)
	if err != nil || status != proxyOK && status != proxyNoKey {
		r.failed("lookup failed for", key, status, err)
		return delivery.Refusal{}, false
	}
	if status == proxyNoKey {
		return delivery.Refusal{}, false
	}
	refusal, good := r.parse(value, login.Password)
	if !good {
		// Too old, of another password, or no entry at all.
		status, err := r.ask(ctx, "delete", nil, "key", key)
		if err != nil || status != proxyOK {
			r.failed("entry not deleted:", key, status, err)
		}
	}
	return refusal, good
}

// Store implements delivery.RefusedLogins.
func (r *refusedLogins) Store(ctx context.Context, host string, login sasl.Login, refusal delivery.Refusal) {
	key := host + ";" + login.Username
	value := fmt.Sprintf("%d;%s;%s;%s", time.Now().Unix(), hashed(login.Password), refusal.Status, refusal.Text)
	status, err := r.ask(ctx, "update", nil, "key", key, "value", value)
	if err != nil || status != proxyOK {
		r.failed("update failed for", key, status, err)
	}
}

func (r *refusedLogins) failed(what, key string, status int, err error) {
	if err == nil {
		err = fmt.Errorf("%s status %d", r.name, status)
	}
	r.log.Warningf("SASL auth failure map %s: %s %s: %v", r.name, what, key, err)
}

// command begins a request to proxymap(8).
func (r *refusedLogins) command(verb string) *ipc.Command {
	name := r.name
	for strings.HasPrefix(name, "proxy:") {
		name = name[len("proxy:"):]
	}
	cmd := new(attr.List).String("request", verb).String("table", name)
	if r.instances {
		cmd.Int("instance_flags", refusedFlags)
	}
	return cmd
}

// ask sends a request with attributes (name, value and so on), and reads the
// value if there is one in the answer. From Postfix 3.11 on the flags of a
// request are those that the server has told, at first as it opened the table:
// it ends with others, which lack what the type of the table needs.
func (r *refusedLogins) ask(ctx context.Context, verb string, value *string, attributes ...string) (status int, err error) {
	flags := refusedFlags
	if r.instances {
		if flags, err = r.open(ctx); err != nil {
			return 0, err
		}
	}
	cmd := r.command(verb).Int("flags", flags)
	for i := 0; i+1 < len(attributes); i += 2 {
		cmd.String(attributes[i], attributes[i+1])
	}
	err = r.client.Ask(ctx, cmd, func(in *attr.Reader) bool {
		status = in.Int("status")
		if r.instances {
			in.Int("flags")
		}
		if value != nil {
			*value = in.String("value")
		}
		return false
	})
	return status, err
}

// open asks once with which flags the server has the table open.
func (r *refusedLogins) open(ctx context.Context) (int, error) {
	if flags := r.flags.Load(); flags != 0 {
		return int(flags), nil
	}
	var status, flags int
	err := r.client.Ask(ctx, r.command("open"), func(in *attr.Reader) bool {
		status = in.Int("status")
		flags = in.Int("flags")
		return false
	})
	if err == nil && status != proxyOK {
		err = fmt.Errorf("open failed: status %d", status)
	}
	if err != nil {
		return 0, err
	}
	r.flags.Store(int64(flags))
	return flags, nil
}

// parse reads an entry. It is false for one that does not count.
func (r *refusedLogins) parse(value, password string) (delivery.Refusal, bool) {
	fields := strings.SplitN(value, ";", 4)
	if len(fields) != 4 || fields[3] == "" || !dsn.Valid(fields[2]) {
		r.log.Warningf("bad lmtp_sasl_auth_cache entry: %.100s", value)
		return delivery.Refusal{}, false
	}
	stored, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		r.log.Warningf("bad lmtp_sasl_auth_cache entry: %.100s", value)
		return delivery.Refusal{}, false
	}
	if time.Since(time.Unix(stored, 0)) > r.ttl || subtle.ConstantTimeCompare([]byte(fields[1]), []byte(hashed(password))) == 0 {
		return delivery.Refusal{}, false
	}
	text, _, _ := strings.Cut(fields[3], "\n") // smtp(8) keeps several lines, and reads one
	return delivery.Refusal{Status: fields[2], Text: text}, true
}

func hashed(password string) string {
	sum := sha1.Sum([]byte(password)) //nolint:gosec // Postfix's format
	return base64.StdEncoding.EncodeToString(sum[:])
}
