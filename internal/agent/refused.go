package agent

import (
	"context"
	"crypto/sha1" //nolint:gosec // Postfix's format
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postlmtp/internal/delivery"
	"postlmtp/internal/dsn"
	"postlmtp/internal/maillog"
	"postlmtp/internal/sasl"
	"postlmtp/internal/table"
	"postlmtp/internal/table/proxymap"
)

// refusedLogins is the table of lmtp_sasl_auth_cache_name: logins that a server
// has refused with 535, kept so that they are not tried again before
// lmtp_sasl_auth_cache_time has passed or the password has changed. It is
// maintained by proxymap(8), for all processes, in Postfix's format: the key is
// "host;user", the value "seconds;base64(SHA1(password));status;text".
type refusedLogins struct {
	client *proxymap.Client
	name   string // as configured
	table  string // the same as proxymap(8) knows it
	ttl    time.Duration
	flags  atomic.Int64 // with which that has the table open; 0: not asked so far
	log    *maillog.Logger
}

// The flags with which Postfix opens the table (smtp_sasl_auth_cache.c).
const refusedFlags = 1<<7 | 1<<8 | int(table.UTF8) // dup_replace, sync_update

func (s *settings) openRefused(log *maillog.Logger) (*refusedLogins, error) {
	name := s.LMTP.SASLAuthCacheName
	if strings.ContainsAny(name, ", \t\r\n") {
		return nil, fmt.Errorf("SASL authentication cache name \"%s\" contains multiple values", name)
	}
	if !strings.HasPrefix(name, "proxy:") {
		//lint:ignore ST1005 Postfix's words
		return nil, fmt.Errorf("SASL authentication cache name \"%s\" must start with \"proxy:", name)
	}
	table := name
	for strings.HasPrefix(table, "proxy:") {
		table = table[len("proxy:"):]
	}
	return &refusedLogins{
		client: proxymap.New(proxymap.Options{
			Socket:        filepath.Join("private", s.ProxywriteServiceName),
			Service:       s.ProxywriteServiceName,
			InstanceFlags: s.release.AtLeast(3, 11),
			Timeout:       s.IPCTimeout,
			Idle:          s.IPCIdle,
			TTL:           s.IPCTTL,
		}),
		name:  name,
		table: table,
		ttl:   s.LMTP.SASLAuthCacheTime,
		log:   log,
	}, nil
}

// Find implements delivery.RefusedLogins.
func (r *refusedLogins) Find(ctx context.Context, host string, login sasl.Login) (delivery.Refusal, bool) {
	key := host + ";" + login.Username
	var value string
	var found bool
	flags, err := r.requestFlags(ctx)
	if err == nil {
		value, found, err = r.client.Lookup(ctx, r.table, refusedFlags, flags, key)
	}
	if err != nil {
		r.failed("lookup failed for", key, err)
		return delivery.Refusal{}, false
	}
	if !found {
		return delivery.Refusal{}, false
	}
	refusal, good := r.parse(value, login.Password)
	if !good {
		// Too old, of another password, or no entry at all.
		if err := r.client.Delete(ctx, r.table, refusedFlags, flags, key); err != nil {
			r.failed("entry not deleted:", key, err)
		}
	}
	return refusal, good
}

// Store implements delivery.RefusedLogins.
func (r *refusedLogins) Store(ctx context.Context, host string, login sasl.Login, refusal delivery.Refusal) {
	key := host + ";" + login.Username
	value := fmt.Sprintf("%d;%s;%s;%s", time.Now().Unix(), hashed(login.Password), refusal.Status, refusal.Text)
	flags, err := r.requestFlags(ctx)
	if err == nil {
		err = r.client.Update(ctx, r.table, refusedFlags, flags, key, value)
	}
	if err != nil {
		r.failed("update failed for", key, err)
	}
}

func (r *refusedLogins) failed(what, key string, err error) {
	r.log.Warningf("SASL auth failure map %s: %s %s: %v", r.name, what, key, err)
}

// requestFlags are those of a request. From Postfix 3.11 on they are those that
// the server has told, which is asked once: it ends with others, which lack what
// the type of the table needs.
func (r *refusedLogins) requestFlags(ctx context.Context) (int, error) {
	if !r.client.InstanceFlags() {
		return refusedFlags, nil
	}
	if flags := r.flags.Load(); flags != 0 {
		return int(flags), nil
	}
	flags, err := r.client.Open(ctx, r.table, refusedFlags, refusedFlags)
	if err == nil {
		r.flags.Store(int64(flags))
	}
	return flags, err
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
