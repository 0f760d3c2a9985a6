package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// description is aws.json.
type description struct {
	Resource map[string]block `json:"resource"`
	Data     map[string]block `json:"data"`
}

type block struct {
	Nesting    string               `json:"nesting"`
	Max        int64                `json:"max"`
	Required   bool                 `json:"required"`
	Attributes map[string]attribute `json:"attributes"`
	Blocks     map[string]block     `json:"blocks"`
}

// attribute is ["type", "required" | "optional" | "computed"].
type attribute struct {
	Type tftypes.Type
	Use  string
}

func (a *attribute) UnmarshalJSON(bytes []byte) error {
	var parts [2]json.RawMessage
	if err := json.Unmarshal(bytes, &parts); err != nil {
		return err
	}
	if err := json.Unmarshal(parts[1], &a.Use); err != nil {
		return err
	}
	var err error
	a.Type, err = typeOf(parts[0])
	return err
}

// typeOf reads Terraform's JSON form of a type.
func typeOf(bytes json.RawMessage) (tftypes.Type, error) {
	var simple string
	if json.Unmarshal(bytes, &simple) == nil {
		known := map[string]tftypes.Type{
			"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool, "dynamic": tftypes.DynamicPseudoType,
		}
		if found, ok := known[simple]; ok {
			return found, nil
		}
		return nil, fmt.Errorf("no such type: %s", simple)
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(bytes, &parts); err != nil || len(parts) != 2 {
		return nil, fmt.Errorf("not a type: %s", bytes)
	}
	var kind string
	if err := json.Unmarshal(parts[0], &kind); err != nil {
		return nil, err
	}
	if kind == "object" {
		return objectOf(parts[1])
	}
	inner, err := typeOf(parts[1])
	if err != nil {
		return nil, err
	}
	switch kind {
	case "list":
		return tftypes.List{ElementType: inner}, nil
	case "set":
		return tftypes.Set{ElementType: inner}, nil
	case "map":
		return tftypes.Map{ElementType: inner}, nil
	}
	return nil, fmt.Errorf("no such kind of type: %s", kind)
}

func objectOf(bytes json.RawMessage) (tftypes.Type, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(bytes, &members); err != nil {
		return nil, err
	}
	types := make(map[string]tftypes.Type, len(members))
	for name, member := range members {
		inner, err := typeOf(member)
		if err != nil {
			return nil, err
		}
		types[name] = inner
	}
	return tftypes.Object{AttributeTypes: types}, nil
}

func load(path string) (*description, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var read description
	if err := json.Unmarshal(bytes, &read); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &read, nil
}

func (d *description) provider() *tfprotov6.GetProviderSchemaResponse {
	all := func(blocks map[string]block) map[string]*tfprotov6.Schema {
		schemas := make(map[string]*tfprotov6.Schema, len(blocks))
		for name, b := range blocks {
			schemas[name] = &tfprotov6.Schema{Block: b.schema()}
		}
		return schemas
	}
	return &tfprotov6.GetProviderSchemaResponse{
		Provider:          &tfprotov6.Schema{Block: providerBlock().schema()},
		ResourceSchemas:   all(d.Resource),
		DataSourceSchemas: all(d.Data),
	}
}

// providerBlock has what this repository's roots say in `provider "aws"`.
func providerBlock() block {
	text := attribute{Type: tftypes.String, Use: "optional"}
	tags := attribute{Type: tftypes.Map{ElementType: tftypes.String}, Use: "optional"}
	return block{
		Attributes: map[string]attribute{"region": text, "profile": text},
		Blocks:     map[string]block{"default_tags": {Nesting: "list", Max: 1, Attributes: map[string]attribute{"tags": tags}}},
	}
}

func (b block) schema() *tfprotov6.SchemaBlock {
	result := &tfprotov6.SchemaBlock{}
	for name, a := range b.Attributes {
		// Which optional arguments the provider fills in is not published; the ones read back here are these.
		fills := a.Use == "optional" && (name == "id" || name == "arn" || name == "tags_all" || name == "region")
		result.Attributes = append(result.Attributes, &tfprotov6.SchemaAttribute{
			Name:     name,
			Type:     a.Type,
			Required: a.Use == "required",
			Optional: a.Use == "optional",
			Computed: a.Use == "computed" || fills,
		})
	}
	for name, inner := range b.Blocks {
		result.BlockTypes = append(result.BlockTypes, inner.nested(name))
	}
	return result
}

func (b block) nested(name string) *tfprotov6.SchemaNestedBlock {
	nesting := map[string]tfprotov6.SchemaNestedBlockNestingMode{
		"list": tfprotov6.SchemaNestedBlockNestingModeList,
		"set":  tfprotov6.SchemaNestedBlockNestingModeSet,
	}
	mode, many := nesting[b.Nesting]
	if !many {
		return &tfprotov6.SchemaNestedBlock{TypeName: name, Block: b.schema(), Nesting: tfprotov6.SchemaNestedBlockNestingModeSingle}
	}
	least := int64(0)
	if b.Required {
		least = 1
	}
	return &tfprotov6.SchemaNestedBlock{TypeName: name, Block: b.schema(), Nesting: mode, MinItems: least, MaxItems: b.Max}
}
