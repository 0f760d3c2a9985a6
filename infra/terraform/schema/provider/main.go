// A stand-in for the AWS provider that knows its schema and nothing else.
//
// The real provider comes only from Terraform's registry. This one serves ../aws.json (see ../extract.py) to Terraform, so that
// `terraform validate` holds every block, argument and type against what AWS's provider accepts, and `terraform test` can plan and
// apply with mocked resources. It reaches no network and can create nothing: all calls but those for the schema fail.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

func main() {
	path := flag.String("schema", os.Getenv("TRUNKLINE_AWS_SCHEMA"), "aws.json")
	flag.Parse()
	described, err := load(*path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	serve := func() tfprotov6.ProviderServer { return &standIn{schema: described.provider()} }
	if err := tf6server.Serve("registry.terraform.io/hashicorp/aws", serve); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
