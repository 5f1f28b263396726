"""AWS Lambda on this machine.

The control plane is `service` and the operation modules it lists, over `store` and `values`. An invocation goes
`invoke` -> `invoking` (which version, may it run) -> `running` (which environment) -> `environment` (its life) ->
`processes` and `runtime_api` (the handler's process and what it says).
"""
