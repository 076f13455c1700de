// Bring is a program for the transport exec: it puts keys into files of this
// machine, as the transport file does. With it exec passes the contract suite.
//
//	bring SETTINGS prove|put|held
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"keywave/internal/deliver/file"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// order is the first line of standard input.
type order struct {
	Zones  []rotation.ZoneID      `json:"zones"`
	Host   rotation.HostName      `json:"host"`
	Expect []rotation.Fingerprint `json:"expect"`
}

type holds struct {
	Zone rotation.ZoneID      `json:"zone"`
	Held rotation.Fingerprint `json:"held"`
}

type fails struct {
	Step    rotation.HostStep `json:"step"`
	Problem string            `json:"problem"`
}

func main() {
	err := run(context.Background(), os.Args[1], os.Args[2])
	var failure *rotation.HostError
	switch {
	case errors.As(err, &failure):
		say(fails{failure.Step, failure.Why})
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(ctx context.Context, settings, verb string) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var o order
	var cfg delivertest.Config
	if err := errors.Join(json.Unmarshal(line, &o), json.Unmarshal([]byte(settings), &cfg)); err != nil {
		return err
	}
	host, err := file.New(file.Config{Name: o.Host, Settings: cfg.Settings, CommandTimeout: cfg.CommandTimeout, ReloadLife: cfg.ReloadLife})
	if err != nil {
		return err
	}
	held := map[rotation.ZoneID]rotation.Fingerprint{}
	switch verb {
	case "prove":
		held, err = delivertest.Held(host.Prove)(ctx, o.Zones)
	case "held":
		held, err = delivertest.Held(host.Held)(ctx, o.Zones)
	case "put":
		held[o.Zones[0]], err = put(ctx, host, in, o)
	}
	if err != nil {
		return err
	}
	for zone, fp := range held {
		say(holds{zone, fp})
	}
	return nil
}

// put answers what the file holds, if that is a key that nobody expects.
func put(ctx context.Context, host rotation.Host, in *bufio.Reader, o order) (rotation.Fingerprint, error) {
	key, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	fp, err := host.Put(ctx, o.Zones[0], rotation.NewSecret(strings.TrimSuffix(key, "\n")), o.Expect)
	if refused := new(rotation.HeldError); errors.As(err, &refused) {
		return refused.Held, nil
	}
	return fp, err
}

func say(answer any) {
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}
