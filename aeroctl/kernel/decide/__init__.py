"""May it be done: rules, effects, confirmation, decision. Pure, without drivers."""
