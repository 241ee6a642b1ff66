"""Makes the things that schemathesis tries, and prints its configuration with their ids in it.

python3 schemathesis.py URL CONFIGURATION
"""

import json
import os
import sys
import urllib.request

url, configuration = sys.argv[1:]
token = None


def call(method, path, body=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


account = {"email": "contract@example.com", "password": "correct horse battery"}
call("POST", "/v1/auth/register", {**account, "name": "Contract"})
token = call("POST", "/v1/auth/login", account)["access_token"]
team = call("POST", "/v1/teams", {"name": "Contract"})["id"]
# The tested objects are on another board than the one that is archived meanwhile.
board = call("POST", f"/v1/teams/{team}/boards", {"name": "Changed"})["id"]
kept = call("POST", f"/v1/teams/{team}/boards", {"name": "Kept"})["id"]
pipeline = call("POST", f"/v1/boards/{kept}/pipelines", {"name": "Pipeline"})["id"]
definition = {
    "definition": {"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"files": True}}}},
    "files": {"a.lua": 'print("hello")\nreturn { n = 1 }\n'},
    "publish": True,
}
call("PUT", f"/v1/pipelines/{pipeline}/definition", definition)
script = call("GET", f"/v1/pipelines/{pipeline}/scripts")["items"][0]["id"]
call("PUT", f"/v1/scripts/{script}/configuration/API_URL", {"value": "https://example.com"})
run = call("POST", f"/v1/pipelines/{pipeline}/runs", {})["id"]

hooks = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemathesis_hooks.py")
ids = {"hooks": hooks, "team": team, "board": board, "kept": kept, "pipeline": pipeline, "script": script, "run": run}
text = open(configuration, encoding="utf-8").read()
for name, value in {**ids, "token": token}.items():
    text = text.replace(f"@{name}@", value)
print(text)
