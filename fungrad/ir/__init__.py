"""The intermediate representation: types, graphs and the contract of a primitive."""
