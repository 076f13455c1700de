package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"keywave/internal/fleet"
)

func (a *app) fleetSchema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "A JSON Schema of the fleet file, for editors", Args: exactly(),
		Long: `Print a JSON Schema of the fleet file (draft 7). Editors with a YAML language server
complete and check a fleet file that begins with this line:

  # yaml-language-server: $schema=fleet.schema.json

What the schema refuses keywave refuses. keywave refuses more, such as a host that
is not there: keywave fleet check FILE.`,
		Example: "  keywave fleet schema > fleet.schema.json",
		RunE: func(*cobra.Command, []string) error {
			return putJSON(a.out, json.RawMessage(fleet.Schema()), "  ")
		},
	}
}
