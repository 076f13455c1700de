package main

import (
	"context"
	"fmt"
	"strings"
)

// permissions tries what docs/operations.md says of the authorizer: whoever has a
// certificate and no token sees nothing; whoever may look looks, and starts, approves and
// brakes nothing; whoever may write does.
func (d *day) permissions(ctx context.Context) error {
	var found []string
	for _, who := range []struct {
		name, permission string
		look, write      bool
	}{{"somebody without a token", "", false, false}, {"who may look", mayLook, true, false}, {"who may write", mayWrite, true, true}} {
		env, err := d.cluster.security.bearer(who.permission)
		if err != nil {
			return err
		}
		orders := [][]string{
			{"campaign", "approve", campaign, "--wave", "2"},
			{"brake", "on", "--reason", "permissions"},
		}
		if who.write { // and has started the campaign
			orders = append(orders, []string{"brake", "off", "--reason", "permissions"})
		} else {
			orders = append(orders, []string{"campaign", "start", "-f", d.Places.Fleet, "--name", "another", "--also-rotated", "--reason", "permissions"})
		}
		looks := [][]string{{"campaign", "list"}, {"campaign", "status", campaign}}
		found = append(found, d.refusals(ctx, who.name, env, who.look, looks)...)
		found = append(found, d.refusals(ctx, who.name, env, who.write, orders)...)
	}
	d.wrong = append(d.wrong, found...)
	return nil
}

// refusals runs commands and names those that Temporal's authorizer answers otherwise
// than it should. What Keywave itself refuses is not asked here.
func (d *day) refusals(ctx context.Context, who string, env []string, may bool, all [][]string) []string {
	var found []string
	for _, args := range all {
		ran, err := d.As(ctx, env, args...)
		if refused := strings.Contains(strings.ToLower(ran.Stderr), "unauthorized"); refused == may {
			found = append(found, fmt.Sprintf("%s: keywave %s: %v", who, strings.Join(args, " "), err))
		}
	}
	return found
}
