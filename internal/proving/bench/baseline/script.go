package baseline

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

// Script is the loop that people write today: one zone after the other, and for
// each zone one host after the other, each over a fresh SSH connection. It does
// not pay for what a loop around two command line tools costs besides: the
// start of their processes, and a fresh connection for each call of the API.
func Script(ctx context.Context, w World) (Result, error) {
	api, err := w.api()
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = api.Close() }()
	push, err := freshly(w.Identity)
	if err != nil {
		return Result{}, err
	}
	var r Result
	began := time.Now()
	for _, zone := range w.Fleet.Zones {
		key, receipt, err := api.Refresh(ctx, zone.ID, nil)
		if err != nil {
			return r, fmt.Errorf("%s: %w", zone.ID, err)
		}
		for _, name := range zone.Hosts {
			if err := push(ctx, zone.ID, w.Fleet.Hosts[name], key); err != nil {
				return r, fmt.Errorf("%s: %w", zone.ID, err)
			}
		}
		r.Exposures = append(r.Exposures, time.Since(receipt.Signed))
	}
	r.Took = time.Since(began)
	return r, nil
}

// GoodScript is what a careful engineer writes in an afternoon. It keeps the
// account's limit, has many zones under way at once, and serves a zone's hosts
// in parallel, each over a fresh SSH connection. When it is killed, it forgets
// everything.
func GoodScript(ctx context.Context, w World) (Result, error) {
	push, err := freshly(w.Identity)
	if err != nil {
		return Result{}, err
	}
	return w.inParallel(ctx, push)
}

const connectTimeout = 10 * time.Second

// freshly pushes over a new SSH connection each time, as ssh(1) would.
func freshly(identity string) (push, error) {
	text, err := os.ReadFile(identity)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", identity, err)
	}
	return func(ctx context.Context, zone rotation.ZoneID, host fleet.Host, key rotation.Secret) error {
		pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(host.SSH.HostKey))
		if err != nil {
			return fmt.Errorf("%s: its host key: %w", host.Name, err)
		}
		connection, err := dial(ctx, host.SSH.Address, &ssh.ClientConfig{
			User:              host.SSH.User,
			Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
			HostKeyCallback:   ssh.FixedHostKey(pinned),
			HostKeyAlgorithms: []string{pinned.Type()},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", host.Name, err)
		}
		defer func() { _ = connection.Close() }()
		session, err := connection.NewSession()
		if err != nil {
			return fmt.Errorf("%s: %w", host.Name, err)
		}
		session.Stdin = strings.NewReader(key.Expose() + "\n")
		if err := session.Run(replace(host, zone)); err != nil {
			return fmt.Errorf("%s: %w", host.Name, err)
		}
		return nil
	}, nil
}

func dial(ctx context.Context, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	dialer := net.Dialer{Timeout: connectTimeout}
	tcp, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn, channels, requests, err := ssh.NewClientConn(tcp, address, config)
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

// replace is the one-line command that everybody writes.
func replace(host fleet.Host, zone rotation.ZoneID) string {
	file := "'" + strings.ReplaceAll(host.SSH.Path, "{zone}", string(zone)) + "'"
	tmp := strings.TrimSuffix(file, "'") + ".tmp'"
	return fmt.Sprintf("umask 077; cat > %s && mv %s %s && %s", tmp, tmp, file, host.SSH.Reload)
}
