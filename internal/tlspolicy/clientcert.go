package tlspolicy

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

const maxKeyFile = 1 << 20

// loadCertificates reads the client certificates: lmtp_tls_chain_files, or
// without that the pairs of files for RSA and ECDSA. false disables TLS.
func (e *Engine) loadCertificates() ([]*tls.Certificate, bool) {
	o := &e.opt
	if o.ChainFiles != "" {
		var all []*tls.Certificate
		for _, file := range splitWords(o.ChainFiles, ", \t\r\n") {
			certs, err := readChains(file)
			if err != nil {
				o.Log.Warningf("%v", chainError(file, err))
				return nil, false
			}
			all = append(all, certs...)
		}
		return all, true
	}
	var all []*tls.Certificate
	for _, f := range []struct{ kind, cert, key string }{
		{"RSA", o.CertFile, o.KeyFile},
		{"DSA", o.DCertFile, ""},
		{"ECDSA", o.ECCertFile, o.ECKeyFile},
	} {
		if f.cert == "" {
			continue
		}
		if f.kind == "DSA" {
			o.Log.Warningf("DSA certificates are not supported: lmtp_tls_dcert_file = %s: disabling TLS support", f.cert)
			return nil, false
		}
		if f.key == "" || f.key == f.cert {
			certs, err := readChains(f.cert)
			if err != nil {
				o.Log.Warningf("%v", chainError(f.cert, err))
				return nil, false
			}
			all = append(all, certs...)
			continue
		}
		c, err := readPair(f.cert, f.key)
		if err != nil {
			o.Log.Warningf("cannot get %s %s: disabling TLS support", f.kind, err)
			return nil, false
		}
		all = append(all, c)
	}
	return all, true
}

// readPair reads a certificate with its chain, and its key.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	certText, err := readFile(certFile, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate from file \"%s\": %w", certFile, unwrapPath(err))
	}
	keyText, err := readFile(keyFile, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("private key from file \"%s\": %w", keyFile, unwrapPath(err))
	}
	c, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("private key from file \"%s\" for the certificate in \"%s\": %w", keyFile, certFile, err)
	}
	return &c, nil
}

// readChains reads a file of lmtp_tls_chain_files: a key, its certificate and
// the chain of that, and again.
func readChains(path string) ([]*tls.Certificate, error) {
	text, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, unwrapPath(err)
	}
	var certs []*tls.Certificate
	var key []byte
	var chain bytes.Buffer
	flush := func() error {
		if key == nil && chain.Len() == 0 {
			return nil
		}
		if key == nil {
			return errors.New("certificate without a key in front of it")
		}
		c, err := tls.X509KeyPair(chain.Bytes(), key)
		certs = append(certs, &c)
		key = nil
		chain.Reset()
		return err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if err := flush(); err != nil {
				return nil, err
			}
			key = pem.EncodeToMemory(block)
		case isCertificate(block.Type):
			chain.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if certs == nil {
		return nil, errors.New("no key and certificate in it")
	}
	return certs, nil
}

// clientCertificate chooses the certificate for a server that asks for one, by
// the kinds of signatures that the server takes. Like OpenSSL it does not look
// at the list of authorities that the server names. An empty certificate says
// that there is none.
func (e *Engine) clientCertificate(info *tls.CertificateRequestInfo) *tls.Certificate {
	anyone := *info
	anyone.AcceptableCAs = nil
	for _, c := range e.certs {
		if anyone.SupportsCertificate(c) == nil {
			return c
		}
	}
	return &tls.Certificate{}
}

// chainError words the failure to read a file with a key and a chain.
func chainError(file string, err error) error {
	if errors.As(err, new(syscall.Errno)) {
		return fmt.Errorf("error opening chain file: %s: %w", file, err)
	}
	return fmt.Errorf("error loading chain from %s: %w: disabling TLS support", file, err)
}

// unwrapPath takes the file's name off an error that stands behind it anyway,
// and words it as strerror(3) does.
func unwrapPath(err error) error {
	var pathErr *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errnoError{errno}
	case errors.As(err, &pathErr):
		return pathErr.Err
	}
	return err
}

type errnoError struct{ errno syscall.Errno }

func (e errnoError) Error() string {
	text := e.errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

func (e errnoError) Unwrap() error { return e.errno }
