"""What a declaration is: resources, outputs, marks on fields, the graph, and problems.

Lives here: values and pure functions over them. Not here: any kind of resource, any call to AWS, any text for people.
"""
