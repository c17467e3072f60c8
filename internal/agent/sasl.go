package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postlmtp/internal/delivery"
	"postlmtp/internal/maillog"
	"postlmtp/internal/match"
	"postlmtp/internal/sasl"
	"postlmtp/internal/table"
)

// authOptions makes the settings of logins; nil without lmtp_sasl_auth_enable.
// Mistakes are errors in Postfix's words. Postfix finds those in the security
// options when it first needs them, in the middle of a session; here it is
// before any mail is at stake.
func (s *settings) authOptions(t *tables, log *maillog.Logger) (*delivery.Auth, error) {
	if !s.LMTP.SASLAuthEnable {
		return nil, nil
	}
	if s.LMTP.SASLPasswordMaps == "" {
		return nil, errors.New("specify a password table via the `lmtp_sasl_password_maps' configuration parameter")
	}
	logins, err := t.set.OpenMaps("lmtp_sasl_password_maps", s.LMTP.SASLPasswordMaps, table.Lock|table.FoldFixed|table.UTF8)
	if err != nil {
		return nil, err
	}
	if s.LMTP.SASLType != "cyrus" {
		log.Warningf("unsupported SASL client implementation: %s", s.LMTP.SASLType)
		return nil, errors.New("SASL library initialization")
	}
	a := &delivery.Auth{
		Login:         s.findLogin(logins),
		SoftBounce:    s.LMTP.SASLAuthSoftBounce,
		EmptyMailAuth: s.LMTP.SendDummyMailAuth,
		SenderInKey:   s.LMTP.SenderDependentAuthentication,
		Salt:          make([]byte, 16),
	}
	rand.Read(a.Salt) //nolint:errcheck // never fails
	if a.Allow, err = s.mechanismFilter(t); err != nil {
		return nil, err
	}
	if err := s.authPolicies(a); err != nil {
		return nil, err
	}
	if s.LMTP.SASLAuthCacheName == "" {
		return a, nil
	}
	a.Refused, err = s.openRefused(log)
	return a, err
}

// findLogin looks in lmtp_sasl_password_maps for a server's name, and then for
// the destination as written. The sender is no key: that is for smtp(8) only,
// also with lmtp_sender_dependent_authentication.
func (s *settings) findLogin(logins *table.Maps) func(context.Context, string, string) (sasl.Login, bool, error) {
	return func(ctx context.Context, host, destination string) (sasl.Login, bool, error) {
		for _, key := range []string{host, destination} {
			value, found, err := logins.Find(ctx, key)
			if err != nil {
				return sasl.Login{}, false, err
			}
			if !found {
				continue
			}
			login := sasl.ParseLogin(value, s.LMTP.SASLPasswordResultDelimiter)
			if s.SendCyrusSASLAuthzID {
				login.Authzid = login.Username
			}
			return login, true, nil
		}
		return sasl.Login{}, false, nil
	}
}

// mechanismFilter is lmtp_sasl_mechanism_filter.
func (s *settings) mechanismFilter(t *tables) (func(context.Context, string) (bool, error), error) {
	if s.LMTP.SASLMechanismFilter == "" {
		return nil, nil
	}
	list, err := match.ParseStrings(s.LMTP.SASLMechanismFilter, match.Options{
		Param: "lmtp_sasl_mechanism_filter", Tables: t.set,
	})
	if err != nil {
		return nil, err
	}
	return list.Match, nil
}

// authPolicies reads what is demanded of mechanisms.
func (s *settings) authPolicies(a *delivery.Auth) error {
	// The -PLUS mechanisms are for those who name one of them.
	plus := slices.ContainsFunc(table.Split(s.LMTP.SASLMechanismFilter), func(word string) bool {
		return !strings.HasPrefix(word, "!") && strings.HasSuffix(strings.ToUpper(word), "-PLUS")
	})
	for _, p := range []struct {
		policy        *sasl.Policy
		option, value string
	}{
		{&a.Plain, "lmtp_sasl_security_options", s.LMTP.SASLSecurityOptions},
		{&a.TLS, "lmtp_sasl_tls_security_options", s.LMTP.SASLTLSSecurityOptions},
		{&a.Matched, "lmtp_sasl_tls_verified_security_options", s.LMTP.SASLTLSVerifiedSecurityOptions},
	} {
		demand, err := sasl.ParseProperties(p.value)
		if err != nil {
			return fmt.Errorf("%s: %w", p.option, err)
		}
		*p.policy = sasl.Policy{Option: p.option, Demand: demand, ChannelBinding: plus}
	}
	return nil
}
