"""Serves the stand-in for a Koji hub, without Apache around it: FOLDER-OF-THE-STAND-IN PORT.

State is in KOJI_STATE. What the stand-in lacks and a build asks is added here, as Koji 1.35 documents it: tasks below
tasks, the files tasks leave, repositories of tags, and the search for builds. A story speaks to it at /story.
"""
import io
import json
import os
import re
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

sys.path.insert(0, sys.argv[1])
import hubapp  # noqa: E402

ASKED = []


def getTaskInfo(task_id, request=False, strict=False):
    return hubapp.find('tasks', task_id, 'task', strict)


def getTaskChildren(task_id, request=False, strict=False):
    hubapp.find('tasks', task_id, 'task', strict)
    return [task for task in hubapp.S['tasks'] if task.get('parent') == task_id]


def listTaskOutput(taskID, stat=False, all_volumes=False, strict=False):
    hubapp.find('tasks', taskID, 'task', strict)
    folder = os.path.join(hubapp.FILES, 'work', 'tasks', str(taskID % 10000), str(taskID))
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def getRepo(tag, state=None, event=None, dist=False, min_event=None):
    found = hubapp.find('tags', tag, 'tag')
    number = found.get('repo')
    return number and {'id': number, 'state': 1, 'dist': False, 'task_id': None}


def search(terms, type, matchType, queryOpts=None):
    hubapp.need(type == 'build' and matchType == 'regexp', 'only builds, only by regexp', hubapp.PARAM)
    name = '%(name)s-%(version)s-%(release)s'
    found = [{'id': b['id'], 'name': name % b} for b in hubapp.S['builds'] if re.match(terms, name % b)]
    options = queryOpts or {}
    found.sort(key=lambda b: b['id'], reverse=options.get('order') == '-build.id')
    return found[:options.get('limit')]


for call in (getTaskInfo, getTaskChildren, listTaskOutput, getRepo, search):
    hubapp.API[call.__name__] = call


def noted(dispatch):
    def call(method, params):
        ASKED.append(method)
        return dispatch(method, params)
    return call


hubapp.dispatch = noted(hubapp.dispatch)


def story(wanted):
    """What a story puts in or looks at."""
    hubapp.load()
    if 'asked' in wanted:
        return ASKED
    if 'table' in wanted:
        rows = hubapp.S[wanted['table']]
        row = wanted['row']
        known = [one for one in rows if row.get('id') is not None and one['id'] == row['id']]
        if known:
            known[0].update(row)
            return known[0]['id']
        row.setdefault('id', 1 + max([one['id'] for one in rows] or [0]))
        rows.append(row)
        hubapp.S['next'][wanted['table']] = row['id']
        return row['id']
    return hubapp.S


class Quiet(WSGIRequestHandler):
    def log_message(self, *more):
        pass


def application(environ, start):
    # What is read of a request ends with the request.
    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    if environ['PATH_INFO'] == '/story':
        start('200 OK', [('Content-Type', 'application/json')])
        return [json.dumps(story(json.loads(body))).encode()]
    environ['wsgi.input'] = io.BytesIO(body)
    return hubapp.application(environ, start)


make_server('127.0.0.1', int(sys.argv[2]), application, handler_class=Quiet).serve_forever()
