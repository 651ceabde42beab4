using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion.Tests.StandIns;

/// <summary>Types and members of an assembly in the notation of the recorded surface.</summary>
internal static class ApiRenderer
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly Dictionary<Type, string> _keywords = new()
    {
        [typeof(bool)] = "bool", [typeof(byte)] = "byte", [typeof(sbyte)] = "sbyte", [typeof(char)] = "char", [typeof(decimal)] = "decimal",
        [typeof(double)] = "double", [typeof(float)] = "float", [typeof(int)] = "int", [typeof(uint)] = "uint", [typeof(long)] = "long",
        [typeof(ulong)] = "ulong", [typeof(short)] = "short", [typeof(ushort)] = "ushort", [typeof(object)] = "object",
        [typeof(string)] = "string", [typeof(void)] = "void",
    };

    /// <summary>Where a character stands outside of all brackets.</summary>
    public static IEnumerable<int> TopLevel(string text, char wanted)
    {
        int depth = 0;
        for (int i = 0; i < text.Length; i++)
        {
            depth += text[i] is '<' or '(' or '[' ? 1 : text[i] is '>' or ')' or ']' ? -1 : 0;
            if (depth == 0 && text[i] == wanted)
            {
                yield return i;
            }
        }
    }

    public static IEnumerable<Type> VisibleTypes(Assembly assembly)
        => assembly.GetTypes().Where(type => IsVisible(type) && !type.Name.Contains('<', StringComparison.Ordinal));

    private static bool IsVisible(Type type)
        => type.IsPublic || ((type.IsNestedPublic || type.IsNestedFamily || type.IsNestedFamORAssem) && IsVisible(type.DeclaringType!));

    /// <summary>The path of a type in the recorded surface.</summary>
    public static string PathOf(Type type) => $"{type.Namespace}.{Name(type)}";

    /// <summary>The name as other types write it: with the types around it, without the namespace.</summary>
    public static string Name(Type type)
    {
        if (_keywords.TryGetValue(type, out string? keyword))
        {
            return keyword;
        }

        if (type.IsGenericParameter)
        {
            return type.Name;
        }

        if (type.HasElementType)
        {
            string element = Name(type.GetElementType()!);
            return type.IsArray ? $"{element}[{new string(',', type.GetArrayRank() - 1)}]" : type.IsPointer ? $"{element}*" : element;
        }

        if (Nullable.GetUnderlyingType(type) is { } underlying)
        {
            return $"{Name(underlying)}?";
        }

        Type[] arguments = type.GetGenericArguments();
        var parts = new List<string>();
        foreach (Type part in Around(type))
        {
            int outer = part.DeclaringType?.GetGenericArguments().Length ?? 0;
            string[] own = [.. arguments[outer..part.GetGenericArguments().Length].Select(Name)];
            string name = part.Name.Split('`')[0];
            parts.Add(own.Length > 0 ? $"{name}<{string.Join(", ", own)}>" : name);
        }

        return string.Join(".", parts);
    }

    private static IEnumerable<Type> Around(Type type)
        => type.IsNested && !type.IsGenericParameter ? Around(type.DeclaringType!).Append(type) : [type];

    /// <summary>The header up to base types and constraints.</summary>
    public static string Header(Type type)
    {
        string access = type.IsNestedFamily || type.IsNestedFamORAssem ? "protected" : "public";
        string name = Name(type)[(type.IsNested ? TopLevel(Name(type), '.').Last() + 1 : 0)..];
        if (type.IsEnum)
        {
            return $"{access} enum {name} : {Name(Enum.GetUnderlyingType(type))}";
        }

        if (type.BaseType == typeof(MulticastDelegate))
        {
            MethodInfo invoke = type.GetMethod("Invoke")!;
            return $"{access} delegate {Name(invoke.ReturnType)} {name}({Parameters(invoke)})";
        }

        string modifier = type.IsInterface || type.IsValueType ? "" : (type.IsAbstract, type.IsSealed) switch
        {
            (true, true) => "static ",
            (true, false) => "abstract ",
            (false, true) => "sealed ",
            _ => "",
        };
        return $"{access} {modifier}{(type.IsInterface ? "interface" : type.IsValueType ? "struct" : "class")} {name}";
    }

    /// <summary>The base class and the visible interfaces that the type itself names.</summary>
    public static IEnumerable<string> Bases(Type type)
    {
        if (type.IsEnum || type.BaseType == typeof(MulticastDelegate))
        {
            yield break;
        }

        if (type.BaseType is { } parent && parent != typeof(object) && parent != typeof(ValueType))
        {
            yield return Name(parent);
        }

        HashSet<Type> inherited = [.. type.BaseType?.GetInterfaces() ?? [], .. type.GetInterfaces().SelectMany(face => face.GetInterfaces())];
        foreach (Type face in type.GetInterfaces().Where(face => !inherited.Contains(face) && IsVisible(face.IsGenericType ? face.GetGenericTypeDefinition() : face)))
        {
            yield return Name(face);
        }
    }

    public static IEnumerable<string> EnumMembers(Type type)
        => type.GetFields(BindingFlags.Public | BindingFlags.Static).Select(field => $"{field.Name} = {Convert.ToInt64(field.GetRawConstantValue(), CultureInfo.InvariantCulture)}");

    /// <summary>What the type declares for others to call, override or implement.</summary>
    public static IEnumerable<string> Members(Type type)
    {
        foreach (ConstructorInfo constructor in type.GetConstructors(Declared).Where(constructor => !constructor.IsStatic && Access(constructor) is not null))
        {
            yield return $"{Access(constructor)} {type.Name.Split('`')[0]}({Parameters(constructor)})";
        }

        foreach (FieldInfo field in type.GetFields(Declared).Where(field => field.IsPublic || field.IsFamily || field.IsFamilyOrAssembly))
        {
            string modifier = field.IsLiteral ? "const " : $"{(field.IsStatic ? "static " : "")}{(field.IsInitOnly ? "readonly " : "")}";
            string value = field.IsLiteral ? $" = {Literal(field.GetRawConstantValue(), field.FieldType)}" : "";
            yield return $"{(field.IsPublic ? "public" : "protected")} {modifier}{Name(field.FieldType)} {field.Name}{value}";
        }

        foreach (PropertyInfo property in type.GetProperties(Declared))
        {
            MethodInfo[] accessors = [.. property.GetAccessors(nonPublic: true).Where(accessor => Access(accessor) is not null)];
            if (accessors.Length > 0)
            {
                yield return Property(property, accessors);
            }
        }

        foreach (EventInfo happening in type.GetEvents(Declared).Where(happening => Access(happening.AddMethod!) is not null))
        {
            yield return $"{Modifiers(happening.AddMethod!)}event {Name(happening.EventHandlerType!)} {happening.Name}";
        }

        foreach (MethodInfo method in type.GetMethods(Declared).Where(method => !method.IsSpecialName && Access(method) is not null && !method.Name.Contains('<', StringComparison.Ordinal)))
        {
            string[] arguments = [.. method.GetGenericArguments().Select(Name)];
            string generic = arguments.Length > 0 ? $"<{string.Join(", ", arguments)}>" : "";
            yield return $"{Modifiers(method)}{Name(method.ReturnType)} {method.Name}{generic}({Parameters(method)}){(IsOverride(method) ? "" : Constraints(method.GetGenericArguments()))}";
        }
    }

    private static string Property(PropertyInfo property, MethodInfo[] accessors)
    {
        MethodInfo widest = accessors.OrderByDescending(accessor => accessor.IsPublic).First();
        string AccessorText(MethodInfo? accessor, string keyword)
            => accessor is null || Access(accessor) is null ? "" : Access(accessor) == Access(widest) ? $"{keyword}; " : $"{Access(accessor)} {keyword}; ";
        string body = $"{{ {AccessorText(property.GetMethod, "get")}{AccessorText(property.SetMethod, "set")}}}";
        ParameterInfo[] index = property.GetIndexParameters();
        string name = index.Length > 0 ? $"this[{string.Join(", ", index.Select(Parameter))}]" : property.Name;
        return $"{Modifiers(widest)}{Name(property.PropertyType)} {name} {body}";
    }

    private static string? Access(MethodBase method)
        => method.IsPublic ? "public" : method.IsFamily || method.IsFamilyOrAssembly ? "protected" : null;

    private static bool IsOverride(MethodInfo method) => method.IsVirtual && method.GetBaseDefinition() != method;

    private static string Modifiers(MethodInfo method)
    {
        if (method.DeclaringType!.IsInterface)
        {
            return "";
        }

        string kind = method.IsStatic ? "static "
            : IsOverride(method) ? method.IsFinal ? "sealed override " : "override "
            : method.IsAbstract ? "abstract "
            : method.IsVirtual && !method.IsFinal ? "virtual " : "";
        return $"{Access(method)} {kind}";
    }

    private static string Parameters(MethodBase method)
    {
        string text = string.Join(", ", method.GetParameters().Select(Parameter));
        return method.IsDefined(typeof(ExtensionAttribute), false) ? $"this {text}" : text;
    }

    private static string Parameter(ParameterInfo parameter)
    {
        string prefix = parameter.IsOut ? "out " : parameter.IsIn ? "in " : parameter.ParameterType.IsByRef ? "ref "
            : parameter.IsDefined(typeof(ParamArrayAttribute), false) || parameter.IsDefined(typeof(ParamCollectionAttribute), false) ? "params " : "";
        string value = parameter.HasDefaultValue ? $" = {Literal(parameter.RawDefaultValue, parameter.ParameterType)}" : "";
        return $"{prefix}{Name(parameter.ParameterType)} {parameter.Name}{value}";
    }

    private static string Literal(object? value, Type type)
    {
        Type plain = Nullable.GetUnderlyingType(type) ?? type;
        return value switch
        {
            null => plain.IsValueType && plain == type ? "default" : "null",
            bool flag => flag ? "true" : "false",
            string text => $"\"{text}\"",
            char letter => $"'{letter}'",
            _ when plain.IsEnum => $"{Name(plain)}.{Enum.ToObject(plain, value)}",
            float.NegativeInfinity or double.NegativeInfinity => "-Infinity",
            float.PositiveInfinity or double.PositiveInfinity => "Infinity",
            float number => number.ToString("R", CultureInfo.InvariantCulture) + "f",
            IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
            _ => value.ToString()!,
        };
    }

    /// <summary>Constraints, each with a space before its <c>where</c>.</summary>
    public static string Constraints(Type[] parameters) => string.Concat(parameters.Select(parameter =>
    {
        GenericParameterAttributes special = parameter.GenericParameterAttributes;
        bool isStruct = special.HasFlag(GenericParameterAttributes.NotNullableValueTypeConstraint);
        List<string> all = [.. parameter.GetGenericParameterConstraints().Where(type => type != typeof(ValueType)).Select(Name)];
        if (special.HasFlag(GenericParameterAttributes.ReferenceTypeConstraint))
        {
            all.Insert(0, "class");
        }

        if (isStruct)
        {
            all.Insert(0, "struct");
        }

        if (special.HasFlag(GenericParameterAttributes.DefaultConstructorConstraint) && !isStruct)
        {
            all.Add("new()");
        }

        return all.Count == 0 ? "" : $" where {parameter.Name} : {string.Join(", ", all)}";
    }));
}
